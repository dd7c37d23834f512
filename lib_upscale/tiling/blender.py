"""Where the results of tiles are merged, kept as 8 or 16 bits.

Two ways, by `feather`: 0 is a hard cut, every tile writes its core. Above 0 neighbors cross-fade: the weight
of a tile rises along a cosine from 0 to 1 within `feather` pixels on either side of each cut, and the sum is
divided by the sum of weights. Only rows that an unfinished tile may still touch are held in floating point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size

__all__ = ["Canvas", "quantize"]


def quantize(values: torch.Tensor, bits: int) -> torch.Tensor:
    """0..1 to whole levels, rounded half up, on whatever device `values` is: uint8 or int32 (0..65535)."""
    levels = (1 << bits) - 1
    scaled = values.float().mul(levels).add_(0.5).clamp_(0, levels)
    return scaled.to(torch.uint8 if bits == 8 else torch.int32)


class Canvas:
    """A picture being made of tiles.

    Args:
        size: of the finished picture, in pixels.
        channels: how many the network gives.
        bits: 8 or 16, what is kept of each value.
        fade: half the width of a cross-fade, in pixels of the finished picture; 0 cuts hard.
    """

    def __init__(self, size: Size, channels: int, bits: int = 8, feather: int = 0) -> None:
        self.size = size
        self.bits = bits
        self.feather = feather
        self.pixels: NDArray[Any] = np.empty((size.height, size.width, channels), np.uint8 if bits == 8 else np.uint16)
        self._sums = _Rows(size, channels) if feather else None

    def put(self, core: Region, source: Region, values: torch.Tensor) -> None:
        """Merge one tile.

        Args:
            core: what the tile is responsible for, in pixels of the finished picture.
            source: where `values` lie; contains `core`.
            values: channels x height x width; whole levels (`quantize`) when cutting hard, else 0..1.
        """
        if self._sums is None:
            inner = core.moved(-source.x, -source.y)
            kept = values[:, inner.y : inner.bottom, inner.x : inner.right].permute(1, 2, 0)
            self.pixels[core.rows, core.columns] = kept.cpu().numpy()
            return
        seen = core.grown(self.feather, self.size).intersection(source)
        assert seen is not None, "a source contains its core"
        inner = seen.moved(-source.x, -source.y)
        cut = values[:, inner.y : inner.bottom, inner.x : inner.right].permute(1, 2, 0).float().cpu().numpy()
        weights = np.outer(
            _ramp(seen.y, seen.bottom, core.y, core.bottom, self.feather, self.size.height),
            _ramp(seen.x, seen.right, core.x, core.right, self.feather, self.size.width),
        )
        self._sums.add(seen, cut, weights)

    def finish_rows(self, above: int) -> None:
        """Tell that no tile to come touches a core row above `above`: what lies clear of it is made final."""
        if self._sums is None:
            return
        upto = self.size.height if above >= self.size.height else max(0, above - self.feather)
        levels = (1 << self.bits) - 1
        for start, rows in self._sums.take(upto):
            self.pixels[start : start + len(rows)] = np.clip(rows * levels + 0.5, 0, levels).astype(self.pixels.dtype)


class _Rows:
    """Weighted sums of the rows that are not final yet."""

    CHUNK = 256

    def __init__(self, size: Size, channels: int) -> None:
        self._size = size
        self._top = 0
        self._sums: NDArray[np.float32] = np.zeros((0, size.width, channels), np.float32)
        self._weights: NDArray[np.float32] = np.zeros((0, size.width), np.float32)

    def add(self, region: Region, values: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        self._reach(region.bottom)
        rows = slice(region.y - self._top, region.bottom - self._top)
        self._sums[rows, region.columns] += values * weights[..., None]
        self._weights[rows, region.columns] += weights

    def take(self, upto: int) -> list[tuple[int, NDArray[np.float32]]]:
        """Remove the rows above `upto` and return them divided by their weights, in pieces."""
        count = min(upto - self._top, len(self._sums))
        if count <= 0:
            return []
        pieces = [
            (self._top + start, self._sums[start:end] / self._weights[start:end, :, None])
            for start in range(0, count, self.CHUNK)
            for end in (min(start + self.CHUNK, count),)
        ]
        self._sums, self._weights = self._sums[count:].copy(), self._weights[count:].copy()
        self._top += count
        return pieces

    def _reach(self, bottom: int) -> None:
        missing = bottom - self._top - len(self._sums)
        if missing > 0:
            self._sums = np.concatenate([self._sums, np.zeros((missing, *self._sums.shape[1:]), np.float32)])
            self._weights = np.concatenate([self._weights, np.zeros((missing, self._size.width), np.float32)])


def _ramp(start: int, end: int, core_start: int, core_end: int, feather: int, length: int) -> NDArray[np.float32]:
    """Weights of the pixels `start` to `end` along one axis: 1 in the core, falling to 0 across each cut."""
    centers = np.arange(start, end, dtype=np.float32) + 0.5
    weights = np.ones(end - start, np.float32)
    if core_start > 0:
        weights *= _rise((centers - core_start) / feather)
    if core_end < length:
        weights *= _rise((core_end - centers) / feather)
    return weights


def _rise(position: NDArray[Any]) -> NDArray[np.float32]:
    """A raised cosine: 0 at -1, a half at 0, 1 at 1; rise(x) + rise(-x) is 1."""
    return (0.5 - 0.5 * np.cos(np.pi * np.clip((position + 1) / 2, 0, 1))).astype(np.float32)
