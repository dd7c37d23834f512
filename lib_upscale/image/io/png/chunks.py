"""Reads and writes the chunks of a PNG file, and metadata as chunks (PNG third edition, W3C 2025).

No library keeps ICC profile, EXIF, XMP and texts at 16 bits a channel: Pillow, which does at 8, has no 16-bit RGB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.metadata import Metadata, print_resolution

__all__ = ["METADATA_KINDS", "SIGNATURE", "Header", "PngError", "chunk", "chunks", "metadata_chunks", "parse_metadata"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = "XML:com.adobe.xmp"
_TEXT_LIMIT = 64 * 2**20
"""The most bytes a compressed text or profile may unfold to: far above any real one, far below a bomb."""
_COLOR_KINDS = {b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"mDCV": 24, b"cLLI": 8}
"""Chunks that say what the values mean (PNG third edition, 11.3.2), and their lengths. They describe every depth and
number of channels, so they are copied; a palette is turned into what they describe."""
_METRE = 39.37007874015748


class PngError(UpscalePlusError):
    """Raised when a PNG file breaks off or contradicts itself. The problem is without the file's name."""


@dataclass(frozen=True)
class Header:
    """The IHDR chunk. `color`: 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha; `bits` a channel."""

    size: Size
    bits: int
    color: int
    interlaced: bool

    @classmethod
    def parse(cls, body: bytes) -> Header:
        """Parse the body of an IHDR chunk.

        Raises:
            PngError: It is damaged.
        """
        if len(body) != 13:
            raise PngError("its header is damaged")
        width, height, bits, color, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
        if not (0 < width < 2**31 and 0 < height < 2**31) or compression or filtering or interlace > 1:
            raise PngError("its header is damaged")
        if (bits, color) not in _ALLOWED:
            raise PngError(f"PNG has no {bits}-bit images of color type {color}")
        return cls(Size(width, height), bits, color, bool(interlace))

    def packed(self) -> bytes:
        """The body of an IHDR chunk."""
        return struct.pack(
            ">IIBBBBB", self.size.width, self.size.height, self.bits, self.color, 0, 0, int(self.interlaced)
        )


_ALLOWED = {(bits, 0) for bits in (1, 2, 4, 8, 16)} | {(bits, 3) for bits in (1, 2, 4, 8)}
_ALLOWED |= {(bits, color) for bits in (8, 16) for color in (2, 4, 6)}


def chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of every chunk from the signature to IEND, each with its checksum verified.

    Raises:
        PngError: The file breaks off before IEND, or a checksum of something that matters is wrong.
    """
    if stream.read(8) != SIGNATURE:
        raise PngError("it is not a PNG file")
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise PngError("it breaks off")
        length, kind = struct.unpack(">I4s", head)
        if length > 2**31 - 1 or not kind.isalpha():
            raise PngError("it is damaged")
        body = stream.read(length)
        check = stream.read(4)
        if len(body) < length or len(check) < 4:
            raise PngError("it breaks off")
        right = zlib.crc32(body, zlib.crc32(kind)) == struct.unpack(">I", check)[0]
        if right:
            yield kind, body
        elif not kind[0] & 0x20:  # a chunk whose name starts with a capital is needed to decode the image
            raise PngError("it is damaged")
        if kind == b"IEND":
            return


def chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    """A chunk as it stands in a file: length, kind, body, checksum."""
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def parse_metadata(pairs: list[tuple[bytes, bytes]]) -> Metadata:
    """Parse chunks (kind, body). A damaged one is passed over, as every reader does."""
    icc = exif = xmp = dpi = None
    color: dict[str, bytes] = {}
    text: dict[str, str] = {}
    for kind, body in pairs:
        try:
            if kind == b"iCCP":
                icc = _inflate(body.split(b"\x00", 1)[1][1:])
            elif kind == b"eXIf":
                exif = body
            elif kind in _COLOR_KINDS and len(body) == _COLOR_KINDS[kind]:
                color.setdefault(kind.decode(), body)
            elif kind == b"pHYs":
                dpi = _dpi(body)
            elif kind in _TEXT_READERS:
                key, value = _TEXT_READERS[kind](body)
                if key == _XMP_KEYWORD:
                    xmp = value.encode()
                elif key:
                    text[key] = value
        except (PngError, zlib.error, IndexError, ValueError, struct.error):
            continue
    return Metadata(icc=icc, exif=exif, xmp=xmp, text=text, dpi=dpi, png_color=color)


def metadata_chunks(metadata: Metadata, channels: int) -> bytes:
    """All of a picture's metadata as chunks, for the place between IHDR and IDAT."""
    parts = [chunk(kind.encode(), body) for kind, body in metadata.png_color.items()]
    icc = metadata.icc_for(channels)
    if icc:
        parts.append(chunk(b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(icc)))
    if metadata.dpi:
        x, y = (min(2**31 - 1, max(1, round(per_inch * _METRE))) for per_inch in metadata.dpi)
        parts.append(chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if metadata.exif:
        parts.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(chunk(b"iTXt", _XMP_KEYWORD.encode() + b"\x00" + bytes(4) + metadata.xmp))
    parts += [_text_chunk(key, value) for key, value in metadata.text.items()]
    return b"".join(parts)


def _text_chunk(key: str, value: str) -> bytes:
    keyword = key.replace("\x00", "").encode("latin-1", "replace")[:79].strip() or b"Comment"
    value = value.replace("\x00", "")
    try:
        return chunk(b"tEXt", keyword + b"\x00" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return chunk(b"iTXt", keyword + b"\x00" + bytes(4) + value.encode("utf-8", "replace"))


def _plain_text(body: bytes) -> tuple[str, str]:
    key, _, value = body.partition(b"\x00")
    return key.decode("latin-1"), value.decode("latin-1")


def _compressed_text(body: bytes) -> tuple[str, str]:
    key, _, value = body.partition(b"\x00")
    return key.decode("latin-1"), _inflate(value[1:]).decode("latin-1")


def _international_text(body: bytes) -> tuple[str, str]:
    key, rest = body.split(b"\x00", 1)
    compressed = rest[0]
    _language, _translated, value = rest[2:].split(b"\x00", 2)
    return key.decode("latin-1"), (_inflate(value) if compressed else value).decode("utf-8", "replace")


_TEXT_READERS = {b"tEXt": _plain_text, b"zTXt": _compressed_text, b"iTXt": _international_text}


def _inflate(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, _TEXT_LIMIT)
    if not unpacker.eof:
        raise PngError("a text in it is too long or breaks off")
    return body


def _dpi(body: bytes) -> tuple[float, float] | None:
    x, y, unit = struct.unpack(">IIB", body)
    return print_resolution(x / _METRE, y / _METRE) if unit == 1 else None


METADATA_KINDS = frozenset((*_COLOR_KINDS, b"iCCP", b"eXIf", b"pHYs", *_TEXT_READERS))
