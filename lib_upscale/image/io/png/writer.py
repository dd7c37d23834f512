"""Writes PNG files band by band, so that the largest image needs no second copy in memory.

Rows are filtered with numpy and compressed in blocks on several threads; the blocks' streams are joined as in pigz.

The alternatives lose what this is for: Pillow takes 1 GiB more for 16384 x 16384 pixels (this: 22 MiB, see
benchmarks/RESULTS.md), one thread, and has no 16-bit RGB; OpenCV has 16 bits but no metadata.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Size
from lib_upscale.image.io.png.chunks import SIGNATURE, Header, chunk, metadata_chunks
from lib_upscale.image.metadata import Metadata
from lib_upscale.threads import map_in_order

__all__ = ["deflate_rows", "header_for", "write_png"]

Pixels = NDArray[Any]

_COLOR = {1: 0, 2: 4, 3: 2, 4: 6}
_BLOCK = 2**20
"""Bytes of pixels compressed at a time: large enough that starting afresh costs under half a percent of size."""


def write_png(
    stream: BinaryIO,
    size: Size,
    bands: Iterable[Pixels],
    metadata: Metadata,
    *,
    bits: int,
    channels: int,
    level: int = 5,
) -> None:
    """Write a PNG.

    Args:
        stream: Writable.
        size: Of the image.
        bands: (rows, width, channels) each, uint8 or uint16 as `bits` says, from the top.
        metadata: Written before the pixels.
        bits: 8 or 16.
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        level: zlib's, 0 to 9.

    Raises:
        ValueError: The bands are not the image that was announced.
    """
    header = header_for(size, bits, channels)
    stream.write(SIGNATURE + chunk(b"IHDR", header.packed()))
    stream.write(metadata_chunks(metadata, 1 if channels <= 2 else 3))
    for packed in deflate_rows(header, bands, level):
        stream.write(chunk(b"IDAT", packed))
    stream.write(chunk(b"IEND", b""))


def header_for(size: Size, bits: int, channels: int) -> Header:
    """The header of an image with 1 to 4 channels, alpha counted."""
    return Header(size, bits, _COLOR[channels], interlaced=False)


def deflate_rows(header: Header, bands: Iterable[Pixels], level: int) -> Iterator[bytes]:
    """Filter rows and compress them to a zlib stream, given in pieces.

    Raises:
        ValueError: `bands` do not fit the header.
    """
    checksum = 1
    yield b"\x78\x9c"
    for packed, filtered in map_in_order(lambda block: _compress(*block, level), _blocks(header, bands)):
        checksum = zlib.adler32(filtered.data, checksum)
        yield packed
    yield b"\x03\x00" + struct.pack(">I", checksum)  # an empty last block, as every other ends without saying so


def _blocks(header: Header, bands: Iterable[Pixels]) -> Iterator[tuple[Pixels, Pixels, int]]:
    """Bytes of some rows (rows, bytes), those of the row above them, and how many bytes a pixel has."""
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[header.color]
    pixel = channels * header.bits // 8
    row = header.size.width * pixel
    rows_a_block = max(1, _BLOCK // row)
    above = np.zeros(row, np.uint8)
    done = 0
    for band in bands:
        if band.shape[1:] != (header.size.width, channels) or band.dtype.itemsize * 8 != header.bits:
            raise ValueError(f"a band {band.shape} {band.dtype} does not fit {header}")
        done += len(band)
        for start in range(0, len(band), rows_a_block):
            part = band[start : start + rows_a_block]
            raw = np.ascontiguousarray(part, ">u2" if header.bits == 16 else np.uint8)
            raw = raw.view(np.uint8).reshape(len(part), row)
            yield raw, above, pixel
            above = raw[-1]
    if done != header.size.height:
        raise ValueError(f"bands of {done} rows are not an image of {header.size.height}")


def _compress(raw: Pixels, above: Pixels, pixel: int, level: int) -> tuple[bytes, Pixels]:
    filtered = _filter(raw, above, pixel)
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return packer.compress(filtered.data) + packer.flush(zlib.Z_SYNC_FLUSH), filtered


def _filter(raw: Pixels, above: Pixels, pixel: int) -> Pixels:
    """Rows with the filter's number before each: of none, sub, up and Paeth the one with the least sum of differences.

    Source of the choice: PNG third edition, 12.7. "Average" is left out, as it is seldom chosen.
    """
    up = np.vstack([above[None], raw[:-1]])
    left, corner = np.zeros_like(raw), np.zeros_like(raw)
    left[:, pixel:] = raw[:, :-pixel]
    corner[:, pixel:] = up[:, :-pixel]
    candidates = ((0, raw), (1, raw - left), (2, raw - up), (4, raw - _paeth(left, up, corner)))
    costs = np.stack([_cost(candidate) for _, candidate in candidates])
    best = costs.argmin(axis=0)
    result = np.empty((raw.shape[0], raw.shape[1] + 1), np.uint8)
    for choice, (number, candidate) in enumerate(candidates):
        rows = best == choice
        result[rows, 0] = number
        result[rows, 1:] = candidate[rows]
    return result


def _cost(candidate: Pixels) -> Pixels:
    costs: Pixels = np.minimum(candidate, np.negative(candidate)).sum(axis=1, dtype=np.uint64)
    return costs


def _paeth(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    """The one of the three nearest to left + up - corner; PNG third edition, 9.4."""
    to_left = np.where(up > corner, up - corner, corner - up)
    to_up = np.where(left > corner, left - corner, corner - left)
    # The distance to the corner is the sum of both where they point the same way, else their difference.
    same = (up > corner) == (left > corner)
    difference = np.where(to_left > to_up, to_left - to_up, to_up - to_left)
    to_corner_smaller = ~same & (difference < np.minimum(to_left, to_up))
    predicted: Pixels = np.where(to_corner_smaller, corner, np.where(to_left <= to_up, left, up))
    return predicted
