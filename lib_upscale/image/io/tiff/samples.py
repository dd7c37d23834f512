"""Reads the samples of a TIFF page as they stand in the file: every depth, sample format, layout and predictor.

tifffile parses the directories but needs the package imagecodecs for half of this, and Pillow has no mode for it. So
Deflate is unpacked by zlib, LZW, PackBits, LZMA and Zstandard by the libtiff in Pillow, and the rest is done here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.levels import row_bands
from lib_upscale.spread import ceil_div

__all__ = ["Samples", "TiffError", "read_samples", "scale_samples"]

Pixels = NDArray[Any]

_RAW = 1
_DEFLATE = (8, 32946)
_BY_PILLOW = {5: "LZW", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_BAND = 64
"""Rows whose bits are unpacked at a time: they take 8 times their memory."""


class TiffError(UpscalePlusError):
    """Raised when a TIFF can't be read. The problem is without the file's name."""


@dataclass(frozen=True)
class Samples:
    """The samples of a page.

    Attributes:
        values: (height, width, samples); packed integers are in the next larger type.
        bits: Of a sample in the file.
        kind: The SampleFormat of TIFF 6.0: 1 unsigned, 2 signed, 3 float.
    """

    values: Pixels
    bits: int
    kind: int


def read_samples(page: Any) -> Samples:
    """Read the samples of `page`, a `tifffile.TiffPage` whose file is open.

    Raises:
        TiffError: The file breaks off, or is of a kind that is not supported.
    """
    bits, kind, compression = page.bitspersample, int(page.sampleformat or 1), int(page.compression)
    if not isinstance(bits, int) or kind not in (_UNSIGNED, _SIGNED, _FLOAT) or _dtype(bits, kind) is None:
        raise TiffError(
            f"has channels of {bits} bits of a kind that is not supported", "save it with 16 bits a channel"
        )
    if compression != _RAW and compression not in _DEFLATE and compression not in _BY_PILLOW:
        return Samples(_through_tifffile(page, bits), bits, kind)
    return Samples(_assemble(page, _Rows(page, bits, kind)), bits, kind)


def scale_samples(samples: Samples) -> Pixels:
    """Scale samples to uint8 where the file has up to 8 bits a sample, else to uint16.

    Unsigned numbers span black to white with their bits, so do signed ones from the lowest on, as in ImageMagick; for
    floats see `pillow.float_levels`, which is applied before.
    """
    values, bits = samples.values, samples.bits
    if samples.kind == _SIGNED:
        unsigned = values.view(f"u{values.itemsize}")
        values = (unsigned ^ unsigned.dtype.type(1 << (bits - 1))) & unsigned.dtype.type((1 << bits) - 1)
    if bits in (8, 16):
        return values
    dtype = np.uint8 if bits < 8 else np.uint16
    if bits > 16:
        result: Pixels = np.right_shift(values, bits - 16).astype(dtype)
        return result
    top, most = np.iinfo(dtype).max, (1 << bits) - 1
    levels = np.empty(values.shape, dtype)
    for rows in row_bands(len(values)):
        levels[rows] = (values[rows].astype(np.uint32) * top + most // 2) // most
    return levels


def _dtype(bits: int, kind: int) -> str | None:
    """The numpy type that holds a sample, without its byte order."""
    if kind == _FLOAT:
        return {16: "f2", 32: "f4", 64: "f8"}.get(bits)
    size = next((size for size in (1, 2, 4, 8) if bits <= size * 8), None)
    whole_bytes = bits in (8, 16, 24, 32, 64)
    return None if size is None or (bits > 16 and not whole_bytes) else f"{'u' if kind == _UNSIGNED else 'i'}{size}"


def _through_tifffile(page: Any, bits: int) -> Pixels:
    name = getattr(page.compression, "name", str(page.compression))
    try:
        values = np.asarray(page.asarray())
    except Exception as error:
        if "imagecodecs" in str(error):
            raise TiffError(
                f"has {bits} bits a channel, is compressed as {name} and needs a package",
                "pip install imagecodecs, or save it with Deflate compression",
            ) from error
        raise TiffError(f"is damaged ({error})", "get it again from where it came") from error
    if values.ndim == 3 and int(page.planarconfig) == 2:
        values = np.moveaxis(values, 0, -1)
    return values if values.ndim == 3 else values[..., None]


def _order(page: Any) -> Literal["<", ">"]:
    return ">" if page.parent.byteorder == ">" else "<"


class _Rows:
    """Turns the bytes of a strip or tile into samples."""

    def __init__(self, page: Any, bits: int, kind: int) -> None:
        dtype = _dtype(bits, kind)
        assert dtype is not None, "read_samples has checked it"
        self.dtype = np.dtype(dtype)
        self._bits, self._order = bits, _order(page)
        self._predictor = int(page.predictor)

    def row_bytes(self, count: int) -> int:
        return ceil_div(count * self._bits, 8)

    def parse(self, data: bytes, rows: int, width: int, samples: int) -> Pixels:
        """(rows, width, samples) in this machine's byte order, the predictor undone (TIFF 6.0, section 14)."""
        count = width * samples
        raw = np.frombuffer(data, np.uint8, rows * self.row_bytes(count)).reshape(rows, -1)
        if self._predictor == 3:
            return self._sum_floats(raw, width, samples)
        if self._bits in (8, 16, 32, 64):
            flat = raw.view(self.dtype.newbyteorder(self._order)).astype(self.dtype)
        else:
            flat = self._unpack(raw, count)
        values: Pixels = flat.reshape(rows, width, samples)
        if self._predictor != 2:
            return values
        whole = values.view(f"u{values.itemsize}")
        summed: Pixels = np.add.accumulate(whole, axis=1, dtype=whole.dtype)
        return summed.view(self.dtype)

    def _sum_floats(self, raw: Pixels, width: int, samples: int) -> Pixels:
        """Adobe's technical note 3: differences of bytes, of which the highest of all samples come first."""
        size = self.dtype.itemsize
        steps = raw.reshape(len(raw), -1, samples)
        planes = np.add.accumulate(steps, axis=1, dtype=np.uint8).reshape(len(raw), size, width * samples)
        values: Pixels = np.ascontiguousarray(planes.swapaxes(1, 2)).view(self.dtype.newbyteorder(">"))
        return values.astype(self.dtype).reshape(len(raw), width, samples)

    def _unpack(self, raw: Pixels, count: int) -> Pixels:
        if self._bits == 24:
            wide = np.zeros((len(raw), count, 4), np.uint8)
            parts = raw.reshape(len(raw), count, 3)
            wide[..., :3] = parts if self._order == "<" else parts[..., ::-1]
            return wide.view("<u4")[..., 0].astype(self.dtype)
        size = self.dtype.itemsize * 8
        values = np.empty((len(raw), count), self.dtype)
        for band in row_bands(len(raw), _BAND):
            spread = np.zeros((len(raw[band]), count, size), np.uint8)
            packed = np.unpackbits(raw[band], axis=1, count=count * self._bits)
            spread[..., size - self._bits :] = packed.reshape(-1, count, self._bits)
            whole = np.packbits(spread.reshape(len(spread), -1), axis=1).view(f">u{self.dtype.itemsize}")
            values[band] = whole.astype(f"u{self.dtype.itemsize}").view(self.dtype)
        return values


def _assemble(page: Any, rows: _Rows) -> Pixels:
    """All strips or tiles of a page put together."""
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    planes = samples if int(page.planarconfig) == 2 else 1
    values = np.zeros((height, width, samples), rows.dtype)
    places = _places(page, height, width, planes)
    for (plane, y, x, tall, wide), offset, length in zip(places, page.dataoffsets, page.databytecounts, strict=False):
        if not offset and not length:
            continue  # a hole, which is 0
        part = samples // planes
        data = _unpack_segment(page, int(offset), int(length), rows.row_bytes(wide * part), tall)
        block = rows.parse(data, tall, wide, part)[: height - y, : width - x]
        channels = slice(None) if planes == 1 else slice(plane, plane + 1)
        values[y : y + tall, x : x + wide, channels] = block
    return values


def _places(page: Any, height: int, width: int, planes: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Plane, top, left, height and width of each strip or tile, in the order of the file."""
    tall = int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), height)
    wide = int(page.tilewidth) if page.is_tiled else width
    expected = ceil_div(height, max(1, tall)) * ceil_div(width, max(1, wide)) * planes
    if min(tall, wide) < 1 or len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
        raise TiffError("is damaged (strips are missing)", "get it again from where it came")
    for plane in range(planes):
        for y in range(0, height, tall):
            for x in range(0, width, wide):
                yield plane, y, x, tall if page.is_tiled else min(tall, height - y), wide


def _unpack_segment(page: Any, offset: int, length: int, row: int, rows: int) -> bytes:
    file = page.parent.filehandle
    file.seek(offset)
    data = bytes(file.read(length))
    compression, order = int(page.compression), int(page.fillorder or 1)
    try:
        if compression in _BY_PILLOW:
            return _through_libtiff(data, compression, order, row, rows)
        if order == 2:
            data = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")).tobytes()
        if compression in _DEFLATE:
            data = zlib.decompressobj().decompress(data, row * rows)
    except (zlib.error, OSError, SyntaxError, ValueError) as error:
        raise TiffError(f"is damaged ({error})", "get it again from where it came") from error
    if len(data) < row * rows:
        raise TiffError("is damaged (it breaks off)", "get it again from where it came")
    return data


def _through_libtiff(data: bytes, compression: int, order: int, row: int, rows: int) -> bytes:
    """Unpack a strip by calling it a gray image of 8 bits, as wide as its rows have bytes."""
    tags = [(256, row), (257, rows), (258, 8), (259, compression), (262, 1), (266, order), (273, 0), (277, 1)]
    tags += [(278, rows), (279, len(data))]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(b"II*\x00\x08\x00\x00\x00" + directory + data)) as image:
        image.load()
        return bytes(image.tobytes())
