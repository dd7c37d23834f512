"""The color lock: a redrawn tile keeps its detail, and the coarse colors of the picture that it was made from.

Source: StableSR (Wang et al. 2023), "wavelet color fix". Here low frequencies are exchanged for each tile, with the
tile's own surroundings, so that no tile drifts against its neighbors. A blur can't do that without halos: where a
redraw changes one side of a contour, it takes back too much on the other. `lab` matches statistics by place instead, as
Reinhard et al. 2001, "Color Transfer between Images", do for whole images: a contour stays where it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image.levels import BAND_ROWS, row_bands
from lib_upscale.redrawing.tiles.filters import Pixels, a_trous, gaussian
from lib_upscale.redrawing.tiles.lab import lab_to_rgb, rgb_to_lab
from lib_upscale.settings.redraw import ColorLock

__all__ = ["match_low_frequencies"]

_LEVELS = 5
"""Wavelet levels: everything coarser than about 18 pixels follows the source."""
_SIGMA = 32.0
"""Pixels: only what is coarser follows the source where the gaussian is chosen."""

# Those of lab, by benchmarks/color_lock.py. A band begins with a whole cell.
_CELL = 4
"""Pixels a side of the cells in which statistics are taken: they need a sixteenth of the image's memory."""
_FINE = 4.0
"""Pixels: what is finer is detail, and has no part in the deviations."""
_WINDOW = 16.0
"""Pixels: the standard deviation of the window of means and deviations."""
_NOISE = 2.0
"""Deviations, in L, a and b, below which a place is flat and its deviation says nothing."""
_MOST_GAIN = 2.0

_Planes = NDArray[np.float32]
"""L, a and b or something of each: (rows, columns, 3)."""


def match_low_frequencies(redrawn: Pixels, source: Pixels, lock: ColorLock) -> Pixels:
    """Give a redrawn tile the low frequencies that it had before.

    Borders are reflected in both alike, so a tile that was not changed stays as it is.

    Args:
        redrawn: (height, width, 3), 0..1.
        source: The same tile before.
        lock: Which frequencies count as low, or `lab`.

    Returns:
        (height, width, 3), not clipped to 0..1.
    """
    if lock is ColorLock.OFF:
        return redrawn
    if lock is ColorLock.LAB:
        return _match_lab(redrawn, source)
    change = redrawn - source
    coarse = a_trous(change, _LEVELS) if lock is ColorLock.WAVELET else gaussian(change, _SIGMA)
    return np.asarray(redrawn - coarse, dtype=np.float32)


def _match_lab(redrawn: Pixels, source: Pixels) -> Pixels:
    """Match means and coarse deviations of L, a and b by place, by bands of rows."""
    gain, offset = _affine_change(_cells(redrawn), _cells(source))
    result = np.empty(redrawn.shape, np.float32)
    for rows in row_bands(len(redrawn), BAND_ROWS):
        before = rgb_to_lab(redrawn[rows])
        after = before + _at_pixels(gain, rows, before) * before + _at_pixels(offset, rows, before)
        # A difference, so that what is not to be changed is the same to the last bit.
        result[rows] = redrawn[rows] + (lab_to_rgb(after) - lab_to_rgb(before))
    return result


def _affine_change(redrawn: _Planes, source: _Planes) -> tuple[_Planes, _Planes]:
    """By how much of itself each value in cells grows, and what is added to it.

    Where the coarse shapes of both do not agree, as where something new was drawn, deviations are not comparable and
    only the means are matched.
    """
    mean, aim = _window(redrawn), _window(source)
    redrawn, source = gaussian(redrawn, _FINE / _CELL), gaussian(source, _FINE / _CELL)
    centers = _window(redrawn), _window(source)
    variance = np.maximum(_window(redrawn * redrawn) - centers[0] ** 2, 0) + np.float32(_NOISE**2)
    aimed = np.maximum(_window(source * source) - centers[1] ** 2, 0) + np.float32(_NOISE**2)
    shared = _window(redrawn * source) - centers[0] * centers[1] + np.float32(_NOISE**2)
    agreement = np.clip(shared, 0, None) ** 2 / (variance * aimed)
    ratio = np.clip(np.sqrt(aimed / variance), 1 / _MOST_GAIN, _MOST_GAIN)
    gain = np.minimum(agreement, 1) * (ratio - 1)
    return gain.astype(np.float32), (aim - mean - gain * mean).astype(np.float32)


def _window(values: _Planes) -> _Planes:
    return gaussian(values, _WINDOW / _CELL)


def _cells(pixels: Pixels) -> _Planes:
    """The mean L, a and b of each cell; those at the right and at the bottom go on with the last pixels."""
    bands = []
    for rows in row_bands(len(pixels), BAND_ROWS):
        lab = rgb_to_lab(pixels[rows])
        lab = np.pad(lab, ((0, -lab.shape[0] % _CELL), (0, -lab.shape[1] % _CELL), (0, 0)), mode="edge")
        bands.append(lab.reshape(lab.shape[0] // _CELL, _CELL, -1, _CELL, 3).mean(axis=(1, 3), dtype=np.float32))
    return np.concatenate(bands)


def _at_pixels(cells: _Planes, rows: slice, like: Pixels) -> _Planes:
    """Those rows of pixels of a map in cells, interpolated linearly from cell to cell, across bands as well."""
    columns = cells.shape[1]
    size, box = (columns * _CELL, rows.stop - rows.start), (0, rows.start / _CELL, columns, rows.stop / _CELL)
    planes = [Image.fromarray(np.ascontiguousarray(cells[:, :, channel])) for channel in range(3)]
    large = [plane.resize(size, Image.Resampling.BILINEAR, box=box) for plane in planes]
    return np.dstack([np.asarray(plane, dtype=np.float32)[:, : like.shape[1]] for plane in large])
