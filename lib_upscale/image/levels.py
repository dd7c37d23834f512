"""Whole levels (uint8, uint16) and floats from 0 to 1, and the bands of rows in which large arrays are converted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["BAND_ROWS", "LUMA", "row_bands", "to_bits", "to_floats", "to_levels"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness by ITU-R BT.601: those of JPEG, of Pillow's mode L, and of every network
for gray images in the field."""

BAND_ROWS = 256
"""Rows that are converted at a time: 12 MiB as floats where an RGB image is 4096 pixels wide."""


def row_bands(height: int, rows: int = BAND_ROWS) -> Iterator[slice]:
    """Slices of at most `rows` rows that cover 0 to `height`, from the top."""
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def to_levels(values: NDArray[Any], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Floats from 0 to 1 as levels of `dtype` (uint8 or uint16), rounded to the nearest and clipped."""
    levels: NDArray[Any] = np.rint(np.clip(values, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return levels


def to_floats(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Levels (uint8 or uint16) as float32 from 0 to 1."""
    values = levels.astype(np.float32)
    values /= np.float32(np.iinfo(levels.dtype).max)
    return values


def to_bits(levels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Levels in 8 or 16 bits, rounded to the nearest; by bands, so that it takes little memory."""
    if levels.dtype.itemsize * 8 == bits:
        return levels
    result = np.empty(levels.shape, np.uint8 if bits == 8 else np.uint16)
    for rows in row_bands(len(levels)):
        if bits == 16:
            np.multiply(levels[rows], 257, out=result[rows], dtype=np.uint16)
        else:
            result[rows] = (levels[rows].astype(np.uint32) + 128) // 257
    return result
