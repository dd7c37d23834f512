"""Finds the members of a zip archive and where their bytes are, by Python's `zipfile`.

zipfile checks an archive as it extracts; torch's archives are read in place instead, so what a member claims is checked
here. zipfile also reads a table of contents of any length, and an entry takes about ten times its size in memory:
a file of gigabytes that is nothing else could take all of it.
"""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO, cast
from zipfile import ZipInfo

from lib_upscale.models.formats.checkpoint import DamagedContentError

__all__ = ["ZipInfo", "data_start", "is_stored", "list_members"]

MAX_DIRECTORY = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s22x2H")


class _BoundedReader:
    """A file of which no long piece can be read: the only one that zipfile reads is the table of contents."""

    def __init__(self, file: BinaryIO) -> None:
        self._read = file.read
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise DamagedContentError("its table of contents is too large")
        return self._read(size)


def list_members(file: BinaryIO, size: int) -> list[ZipInfo]:
    """List the members of the archive of `size` bytes, in order. Raises `DamagedContentError`."""
    try:
        with zipfile.ZipFile(cast("BinaryIO", _BoundedReader(file))) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
        raise DamagedContentError("it is cut off, or its table of contents is damaged") from error
    if any(member.header_offset + _LOCAL_HEADER.size + member.compress_size > size for member in members):
        raise DamagedContentError("it is cut off")
    return members


def is_stored(member: ZipInfo) -> bool:
    """Whether a member's bytes are in the file as they are, neither compressed nor encrypted."""
    plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    return plain and member.compress_size == member.file_size


def data_start(file: BinaryIO, member: ZipInfo) -> int:
    """Find where a stored member's bytes begin in the file. Raises `DamagedContentError`."""
    file.seek(member.header_offset)
    raw = file.read(_LOCAL_HEADER.size)
    if len(raw) < _LOCAL_HEADER.size or raw[:4] != b"PK\x03\x04":
        raise DamagedContentError("a member of it is damaged")
    _, name_length, extra_length = _LOCAL_HEADER.unpack(raw)
    start: int = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    return start
