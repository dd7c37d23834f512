"""Reads what the plugin for JPEG XL leaves in the file: EXIF, XMP, how deep and how many its images are."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from lib_upscale.image.io.boxes import LARGEST, boxes_in_file

__all__ = ["JpegXlHeader", "JpegXlMetadata", "jpeg_xl_header", "jpeg_xl_metadata"]

_TIFF = (b"II*\x00", b"MM\x00*")
_NAMES = {b"Exif": "EXIF", b"xml ": "XMP"}
_HEADER = 64
"""More bytes than lie before the depth in a codestream."""


@dataclass
class JpegXlMetadata:
    """What a JPEG XL file holds beside its pixels.

    Attributes:
        exif: Without the offset that stands before it in its box.
        xmp: As it is in the file.
        unread: The names of what is there and can't be unpacked.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class JpegXlHeader:
    """What the beginning of a codestream says: the bits of a channel, and whether there are several frames."""

    bits: int = 8
    animated: bool = False


def jpeg_xl_metadata(stream: BinaryIO) -> JpegXlMetadata:
    """The EXIF and XMP of a JPEG XL file; nothing of a bare codestream, which holds none.

    Source: ISO/IEC 18181-2, 9: the boxes Exif, xml and brob, which is one of the others packed by Brotli.
    """
    found: dict[bytes, bytes] = {}
    unread: dict[bytes, None] = {}
    for kind, start, end in boxes_in_file(stream):
        packed = kind == b"brob"
        stream.seek(start)
        kind = stream.read(4) if packed else kind
        if kind not in _NAMES or kind in found:
            continue
        body = stream.read(min(end - start, LARGEST) - 4 * packed)
        unpacked = _unpack(body) if packed else body
        if unpacked is None:
            unread[kind] = None
        elif unpacked:
            found[kind] = unpacked
    exif = found.get(b"Exif")
    if exif is not None and not exif.startswith(_TIFF):
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return JpegXlMetadata(exif or None, found.get(b"xml "), [_NAMES[kind] for kind in unread if kind not in found])


def _unpack(packed: bytes) -> bytes | None:
    """What Brotli packed; None if it is damaged, too large, or there is no package that can unpack it."""
    if not find_spec("brotli"):
        return None
    brotli: Any = import_module("brotli")
    unpacker = brotli.Decompressor()
    if not hasattr(unpacker, "can_accept_more_data"):
        return None  # before 1.2 a small box could take all memory
    try:
        body = bytes(unpacker.process(packed, output_buffer_limit=LARGEST))
        return body if unpacker.is_finished() else None
    except brotli.error:
        return None


def jpeg_xl_header(stream: BinaryIO) -> JpegXlHeader:
    """What a JPEG XL file says of its image. Of 8 bits and alone where it is damaged.

    Source: ISO/IEC 18181-1, B.2 (how numbers are written), D.2 (SizeHeader), D.3 (ImageMetadata).
    """
    bits = _Bits(_codestream(stream))
    if bits.read(16) != 0x0AFF:
        return JpegXlHeader()
    _skip_size(bits)
    if bits.read(1):  # everything as usual
        return JpegXlHeader()
    animated = False
    if bits.read(1):
        bits.read(3)  # orientation
        if bits.read(1):
            _skip_size(bits)
        if bits.read(1):
            _skip_preview(bits)
        animated = bool(bits.read(1))
        if animated:
            bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.number((0, 0), (0, 3), (0, 16), (0, 32))
            bits.read(1)
    is_float = bits.read(1)
    forms = ((32, 0), (16, 0), (24, 0), (1, 6)) if is_float else ((8, 0), (10, 0), (12, 0), (1, 6))
    return JpegXlHeader(bits.number(*forms), animated)


def _codestream(stream: BinaryIO) -> bytes:
    """The beginning of the codestream, which is the whole file or lies in boxes."""
    stream.seek(0)
    start = stream.read(_HEADER)
    if start.startswith(b"\xff\x0a"):
        return start
    parts = b""
    for kind, start_of_box, end in boxes_in_file(stream):
        if kind in (b"jxlc", b"jxlp"):
            number = 4 * (kind == b"jxlp")
            stream.seek(start_of_box + number)
            parts += stream.read(max(0, min(end - start_of_box - number, _HEADER)))
            if len(parts) >= _HEADER:
                break
    return parts


class _Bits:
    """Numbers from the lowest bit of the first byte on; zeros after the end."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def read(self, count: int) -> int:
        """An unsigned number of so many bits."""
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def number(self, *forms: tuple[int, int]) -> int:
        """A number in one of four forms, each an offset and how many bits are added to it."""
        offset, count = forms[self.read(2)]
        return offset + self.read(count)


def _skip_size(bits: _Bits) -> None:
    in_eighths = bool(bits.read(1))
    _skip_side(bits, in_eighths)
    if not bits.read(3):  # no known ratio of the sides
        _skip_side(bits, in_eighths)


def _skip_side(bits: _Bits, in_eighths: bool) -> None:
    if in_eighths:
        bits.read(5)
    else:
        bits.number((1, 9), (1, 13), (1, 18), (1, 30))


def _skip_preview(bits: _Bits) -> None:
    forms = ((16, 0), (32, 0), (1, 5), (33, 9)) if bits.read(1) else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(*forms)
    if not bits.read(3):
        bits.number(*forms)
