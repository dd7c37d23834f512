"""Reads PNG files at their full depth. Pillow's decoder does the work, twice where there are 16 bits a channel.

The alternative is OpenCV's `imdecode`, which would be a dependency that not every host has: it takes truncated files
without an error and drops all metadata.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image.io.notes import LACKS_END, note
from lib_upscale.image.io.png.chunks import METADATA_KINDS, Header, PngError, chunks, parse_metadata
from lib_upscale.image.metadata import Metadata
from lib_upscale.spread import ceil_div

__all__ = ["is_animated", "read_metadata", "read_png"]

Pixels = NDArray[Any]

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read_png(stream: BinaryIO) -> tuple[Pixels, Pixels | None, Metadata]:
    """Read a PNG file; of an animation, the image shown where animations are not.

    Returns:
        Pixels (height, width, 1 or 3) as uint8 or uint16, alpha (height, width) or None, and metadata.

    Raises:
        PngError: The file is damaged in any way that matters, breaks off, or has less data than its header promises.
    """
    header: Header | None = None
    palette = transparency = b""
    packed: list[bytes] = []
    metadata: list[tuple[bytes, bytes]] = []
    for kind, body in _whole_chunks(stream):
        if kind == b"IHDR":
            header = Header.parse(body)
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"tRNS":
            transparency = body
        elif kind in METADATA_KINDS:
            metadata.append((kind, body))
    if header is None or not packed:
        raise PngError("it holds no image")
    samples = _read_samples(header, b"".join(packed))
    pixels, alpha = _interpret(header, samples, palette, transparency)
    return pixels, alpha, parse_metadata(metadata)


def _whole_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """All chunks; where IEND is missing altogether, those before it if the pixels are all there, which is logged."""
    header: Header | None = None
    packed: list[bytes] = []
    end = 0
    try:
        for kind, body in chunks(stream):
            end = stream.tell()
            if kind == b"IHDR":
                header = Header.parse(body)
            elif kind == b"IDAT":
                packed.append(body)
            yield kind, body
    except PngError:
        if header is None or stream.seek(0, 2) != end or not _is_complete(header, b"".join(packed)):
            raise
        note(getattr(stream, "name", "a PNG file"), LACKS_END)


def _is_complete(header: Header, packed: bytes) -> bool:
    """Whether compressed pixels end properly and are as many as the header says."""
    unpacker, length, rest = zlib.decompressobj(), 0, packed
    try:
        while rest and not unpacker.eof:
            length += len(unpacker.decompress(rest, 2**20))
            rest = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return unpacker.eof and length == _expected_length(header)


def is_animated(stream: BinaryIO) -> bool:
    """Whether a PNG file says before its pixels that it has several frames. Reads no further than that."""
    try:
        for kind, _ in chunks(stream):
            if kind in (b"acTL", b"IDAT"):
                return kind == b"acTL"
    except PngError:
        pass
    return False


def read_metadata(stream: BinaryIO) -> Metadata:
    """Read what a PNG file says beside its pixels.

    Raises:
        PngError: The file is damaged or breaks off.
    """
    return parse_metadata([(kind, body) for kind, body in chunks(stream) if kind in METADATA_KINDS])


def _read_samples(header: Header, packed: bytes) -> Pixels:
    """The numbers as they stand in the file: (height, width, channels), uint16 for 16 bits, else uint8."""
    count = _CHANNELS[header.color]
    if header.bits < 8:
        # As palette numbers even where they are levels of gray: those Pillow would stretch to 0..255.
        return _decode(header, packed, "P", f"P;{header.bits}")[..., None]
    if header.bits == 8:
        return _decode(header, packed, _MODES[count], _MODES[count]).reshape(*_shape(header), count)
    if count <= 2:
        # Two bytes of one 16-bit channel look like two channels of 8 bits to the decoder.
        double = _MODES[count * 2]
        return _decode(header, packed, double, double).view(">u2").astype(np.uint16)
    # Pillow has no mode for these, but it will take either byte of each channel.
    high = _decode(header, packed, _MODES[count], f"{_MODES[count]};16B")
    samples: Pixels = high.astype(np.uint16)
    del high
    samples <<= 8
    samples |= _decode(header, packed, _MODES[count], f"{_MODES[count]};16L")
    return samples


def _shape(header: Header) -> tuple[int, int]:
    return header.size.height, header.size.width


def _decode(header: Header, packed: bytes, mode: str, raw: str) -> Pixels:
    size = (header.size.width, header.size.height)
    try:
        # frombytes fails where data is missing, whatever ImageFile.LOAD_TRUNCATED_IMAGES a host has set.
        decoded = np.array(Image.frombytes(mode, size, packed, "zip", raw, int(header.interlaced)))
    except (ValueError, OSError) as error:
        reason = "it breaks off" if "not enough" in str(error) else "its pixels are damaged"
        raise PngError(reason) from error
    # Data that ends properly but too early it takes, and leaves the rest 0. Only then are the bytes worth counting; the
    # last row, or of an interlaced picture the last but one, is what comes last.
    if any(not row.any() for row in decoded[-2:]) and _unpacked_length(packed) < _expected_length(header):
        raise PngError("it breaks off")
    return decoded


def _unpacked_length(packed: bytes) -> int:
    unpacker, length, rest = zlib.decompressobj(), 0, packed
    while rest and not unpacker.eof:
        length += len(unpacker.decompress(rest, 2**20))
        rest = unpacker.unconsumed_tail
    return length


def _expected_length(header: Header) -> int:
    """Bytes of all rows with their filter bytes; the passes of Adam7 as in PNG third edition, 8.1."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    length = 0
    for x, y, dx, dy in passes if header.interlaced else [(0, 0, 1, 1)]:
        width, height = ceil_div(header.size.width - x, dx), ceil_div(header.size.height - y, dy)
        if width > 0 and height > 0:
            length += height * (1 + ceil_div(width * header.bits * _CHANNELS[header.color], 8))
    return length


def _interpret(header: Header, samples: Pixels, palette: bytes, transparency: bytes) -> tuple[Pixels, Pixels | None]:
    if header.color == 3:
        return _look_up(samples[..., 0], palette, transparency)
    if header.color in (4, 6):
        return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
    alpha = None
    if len(transparency) >= 2 * samples.shape[2]:
        key = np.frombuffer(transparency, ">u2", samples.shape[2])
        top = 65535 if header.bits == 16 else 255
        alpha = np.where((samples == key).all(axis=2), 0, top).astype(samples.dtype)
    if header.bits < 8:
        samples = samples * np.uint8(255 // (2**header.bits - 1))
    return samples, alpha


def _look_up(indices: Pixels, palette: bytes, transparency: bytes) -> tuple[Pixels, Pixels | None]:
    colors = np.zeros((256, 3), np.uint8)
    known = np.frombuffer(palette[: len(palette) // 3 * 3][:768], np.uint8).reshape(-1, 3)
    if not len(known):
        raise PngError("it has no palette")
    colors[: len(known)] = known
    if not transparency:
        return colors[indices], None
    opacity = np.full(256, 255, np.uint8)
    opacity[: len(transparency)] = np.frombuffer(transparency[:256], np.uint8)
    return colors[indices], opacity[indices]
