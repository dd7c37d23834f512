"""Merges the results of tiles into one image of 8 or 16 bits.

By `feather`: at 0 cuts are hard, and every tile writes its core. Above 0 neighbors cross-fade: the weight of a tile
rises along a cosine from 0 to 1 within `feather` pixels on either side of each cut, and the sum is divided by the sum
of weights. Only rows that an unfinished tile may still touch are kept in floating point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.levels import row_bands

__all__ = ["TileBlender", "quantize"]


def quantize(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Round to whole levels, halves up, on the device of `values`.

    Args:
        values: 0..1, any shape; what lies outside is clamped.
        bits: 8 or 16.

    Returns:
        uint8 (0..255) or int32 (0..65535; torch 2.1 has no uint16).
    """
    levels = (1 << bits) - 1
    scaled = values.float().mul(levels).add_(0.5).clamp_(0, levels)
    return scaled.to(torch.uint8 if bits == 8 else torch.int32)


class TileBlender:
    """An image being made of tiles, in `pixels`: height x width x channels, uint8 or uint16.

    Args:
        size: Of the whole image, in pixels.
        channels: How many the tiles have.
        bits: 8 or 16, what is kept of each value.
        feather: Half the width of a cross-fade, in pixels of the whole image; 0 cuts hard.
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
            core: What the tile is responsible for, in pixels of the whole image.
            source: Where `values` lie; contains `core`.
            values: Channels x height x width: whole levels (`quantize`) with hard cuts, else 0..1.
        """
        if self._sums is None or core.size == self.size:  # a single tile has nobody to fade into
            inner = core.moved(-source.x, -source.y)
            kept = values[:, inner.y : inner.bottom, inner.x : inner.right].permute(1, 2, 0)
            levels = kept if self._sums is None else quantize(kept, self.bits)
            self.pixels[core.rows, core.columns] = levels.cpu().numpy()
            return
        blended = core.grown(self.feather, self.size).intersection(source)
        assert blended is not None, "a source contains its core"
        inner = blended.moved(-source.x, -source.y)
        part = values[:, inner.y : inner.bottom, inner.x : inner.right].permute(1, 2, 0).float().cpu().numpy()
        weights = np.outer(
            _ramp(blended.y, blended.bottom, core.y, core.bottom, self.feather, self.size.height),
            _ramp(blended.x, blended.right, core.x, core.right, self.feather, self.size.width),
        )
        self._sums.add(blended, part, weights)

    def finish_rows(self, above: int) -> None:
        """Finish the rows that no further tile touches.

        Args:
            above: No core of a further tile begins above this row of the whole image.
        """
        if self._sums is None:
            return
        end_row = self.size.height if above >= self.size.height else max(0, above - self.feather)
        levels = (1 << self.bits) - 1
        for start, rows in self._sums.take(end_row):
            self.pixels[start : start + len(rows)] = np.clip(rows * levels + 0.5, 0, levels).astype(self.pixels.dtype)


class _Rows:
    """Weighted sums of the rows that are not final yet."""

    def __init__(self, size: Size, channels: int) -> None:
        self._size = size
        self._top = 0
        self._sums: NDArray[np.float32] = np.zeros((0, size.width, channels), np.float32)
        self._weights: NDArray[np.float32] = np.zeros((0, size.width), np.float32)

    def add(self, region: Region, values: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        self._extend(region.bottom)
        rows = slice(region.y - self._top, region.bottom - self._top)
        self._sums[rows, region.columns] += values * weights[..., None]
        self._weights[rows, region.columns] += weights

    def take(self, end_row: int) -> list[tuple[int, NDArray[np.float32]]]:
        """Remove the rows above `end_row` and return them divided by their weights, in pieces."""
        count = min(end_row - self._top, len(self._sums))
        if count <= 0:
            return []
        pieces = [
            (self._top + rows.start, self._sums[rows] / self._weights[rows][..., None]) for rows in row_bands(count)
        ]
        self._sums, self._weights = self._sums[count:].copy(), self._weights[count:].copy()
        self._top += count
        return pieces

    def _extend(self, bottom: int) -> None:
        missing = bottom - self._top - len(self._sums)
        if missing > 0:
            self._sums = np.concatenate([self._sums, np.zeros((missing, *self._sums.shape[1:]), np.float32)])
            self._weights = np.concatenate([self._weights, np.zeros((missing, self._size.width), np.float32)])


def _ramp(start: int, end: int, core_start: int, core_end: int, feather: int, length: int) -> NDArray[np.float32]:
    """Return the weights of the pixels `start` to `end` along one axis: 1 in the core, falling to 0 across each cut."""
    centers = np.arange(start, end, dtype=np.float32) + 0.5
    weights = np.ones(end - start, np.float32)
    if core_start > 0:
        weights *= _rise((centers - core_start) / feather)
    if core_end < length:
        weights *= _rise((core_end - centers) / feather)
    return weights


def _rise(position: NDArray[Any]) -> NDArray[np.float32]:
    """Return a raised cosine: 0 at -1, a half at 0, 1 at 1. _rise(x) + _rise(-x) is 1."""
    return (0.5 - 0.5 * np.cos(np.pi * np.clip((position + 1) / 2, 0, 1))).astype(np.float32)
