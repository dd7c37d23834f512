"""Writes animated PNG frame by frame: of each only the rectangle that differs from the one before.

The alternative is Pillow's `save_all`, which keeps all frames in memory and has no 16-bit RGB.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.alpha import drop_alpha
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.io.png.chunks import SIGNATURE, Header, chunk, metadata_chunks
from lib_upscale.image.io.png.writer import deflate_rows, header_for
from lib_upscale.image.picture import Picture

__all__ = ["ApngWriter"]

Pixels = NDArray[Any]

_LEVEL = 6


class ApngWriter:
    """Writes frames as they are added (PNG third edition, 11.3.4).

    Args:
        stream: Writable and seekable.
        first: Its size, depth, channels and metadata are those of the animation.
        plays: How often the animation runs, 0 for ever.
    """

    def __init__(self, stream: BinaryIO, first: Picture, plays: int) -> None:
        self._stream = stream
        self._plays = plays
        self._alpha = first.alpha is not None
        self._bits, self._colors = first.bits, first.channels
        self._frames = self._sequence = 0
        self._previous: Pixels | None = None
        stream.write(SIGNATURE + chunk(b"IHDR", self._header(first.size).packed()))
        self._control_at = stream.tell()
        self._write_control()
        stream.write(metadata_chunks(first.metadata, first.channels))

    def add(self, picture: Picture, duration: float) -> None:
        """Write one more frame, shown for `duration` milliseconds."""
        shown = self._stack(picture)
        region = Region.whole(picture.size) if self._previous is None else _difference(self._previous, shown)
        self._previous = shown
        milliseconds = max(0, round(duration))
        delay = (milliseconds, 1000) if milliseconds < 65536 else (min(65535, round(duration / 1000)), 1)
        place = (region.width, region.height, region.x, region.y)
        self._stream.write(chunk(b"fcTL", struct.pack(">5I2H2B", self._next(), *place, *delay, 0, 0)))
        for packed in deflate_rows(self._header(region.size), [shown[region.rows, region.columns]], _LEVEL):
            if self._frames == 0:
                self._stream.write(chunk(b"IDAT", packed))
            else:
                self._stream.write(chunk(b"fdAT", struct.pack(">I", self._next()) + packed))
        self._frames += 1

    def finish(self) -> None:
        """Write the end, and at the start how many frames there are."""
        self._stream.write(chunk(b"IEND", b""))
        self._stream.seek(self._control_at)
        self._write_control()

    def _write_control(self) -> None:
        self._stream.write(chunk(b"acTL", struct.pack(">2I", self._frames, self._plays)))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _header(self, size: Size) -> Header:
        return header_for(size, self._bits, self._colors + self._alpha)

    def _stack(self, picture: Picture) -> Pixels:
        picture = picture.with_bits(self._bits)
        if not self._alpha:
            picture = drop_alpha(picture)
        colors = picture.pixels
        if colors.shape[2] != self._colors:
            colors = np.broadcast_to(colors[..., :1], (*colors.shape[:2], self._colors))
        if not self._alpha:
            return colors
        alpha = picture.alpha
        if alpha is None:
            alpha = np.full(colors.shape[:2], picture.levels, colors.dtype)
        return np.dstack([colors, alpha])


def _difference(before: Pixels, now: Pixels) -> Region:
    """The smallest rectangle outside of which nothing changed; one pixel if nothing did at all."""
    changed = (before != now).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return Region(0, 0, 1, 1)
    return Region.between(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
