"""The table of contents of a zip archive, as torch writes them: members stored, never compressed.

Python's zipfile takes ten microseconds a member, a large model has a thousand, and it is the members'
places in the file that are wanted, not their contents.

Source of the layout: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 to 4.3.16 (directory).
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

__all__ = ["DamagedZipError", "Member", "data_start", "list_members"]

MAX_DIRECTORY = 64 << 20

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s4x2H8x2L3H8xL")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX32 = 0xFFFFFFFF


class DamagedZipError(Exception):
    """No zip archive, or one that is cut off or contradicts itself."""


class Member(NamedTuple):
    """One member of an archive."""

    name: str
    size: int
    header: int
    """Where its local header begins, in bytes from the start of the file."""
    stored: bool
    """Whether its bytes lie in the file as they are, neither compressed nor encrypted."""


def list_members(file: BinaryIO, size: int) -> list[Member]:
    """All members of the archive of `size` bytes, in order. Raises `DamagedZipError`."""
    start, length, shift = _directory(file, size)
    if length > MAX_DIRECTORY:
        raise DamagedZipError("its table of contents is too large")
    file.seek(start)
    raw = file.read(length)
    members: list[Member] = []
    position = 0
    unpack, entry_size = _ENTRY.unpack_from, _ENTRY.size
    while position + entry_size <= len(raw):
        magic, flags, method, packed, unpacked, name_length, extra_length, comment_length, header = unpack(
            raw, position
        )
        if magic != b"PK\x01\x02":
            break
        name_at = position + entry_size
        extra_at = name_at + name_length
        position = extra_at + extra_length + comment_length
        if packed == _MAX32 or unpacked == _MAX32 or header == _MAX32:
            packed, unpacked, header = _large(raw[extra_at : extra_at + extra_length], packed, unpacked, header)
        header += shift
        name = raw[name_at:extra_at].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        stored = method == 0 and not flags & 1 and packed == unpacked
        if header + _LOCAL.size + packed > size:
            raise DamagedZipError("it is cut off")
        members.append(Member(name, unpacked, header, stored))
    if position != len(raw):
        raise DamagedZipError("its table of contents is damaged")
    return members


def data_start(file: BinaryIO, member: Member) -> int:
    """Where a stored member's bytes begin. Raises `DamagedZipError`."""
    file.seek(member.header)
    raw = file.read(_LOCAL.size)
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise DamagedZipError("a member of it is damaged")
    fields = _LOCAL.unpack(raw)
    start: int = member.header + _LOCAL.size + fields[9] + fields[10]
    return start


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Start and length of the directory, and what must be added to the places it names."""
    window = min(size, _END.size + 0xFFFF)
    file.seek(size - window)
    tail = file.read(window)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise DamagedZipError("it is cut off")
    end = size - window + at
    fields = _END.unpack_from(tail, at)
    length, start = fields[5], fields[6]
    if at >= _LOCATOR64.size and tail[at - _LOCATOR64.size :][:4] == b"PK\x06\x07":
        locator = _LOCATOR64.unpack_from(tail, at - _LOCATOR64.size)
        file.seek(locator[2])
        raw = file.read(_END64.size)
        if len(raw) == _END64.size and raw[:4] == b"PK\x06\x06":
            large = _END64.unpack(raw)
            length, start = large[8], large[9]
            end = locator[2]
    shift = end - length - start
    if shift < 0 or start + length + shift > size:
        raise DamagedZipError("its table of contents is damaged")
    return start + shift, length, shift


def _large(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Sizes and place of a member beyond 4 GB, from the extra field that then holds them."""
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, position)
        if tag == 1:
            numbers = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            unpacked, packed, header = (
                next(numbers, value) if value == _MAX32 else value for value in (values[1], values[0], values[2])
            )
            return packed, unpacked, header
        position += 4 + length
    return values[0], values[1], values[2]
