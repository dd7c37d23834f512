"""Merges finished tiles into one picture: where two overlap, a cut or a fade that leaves no seam.

A plain cross-fade of two textures that disagree loses detail: in its middle the variance is halved. A minimum-error
cut (Efros, Freeman 2001: Image Quilting) takes every pixel from one tile, along the path where both agree best; a
multi-band blend (Burt, Adelson 1983: A Multiresolution Spline with Application to Image Mosaics) does so for fine
detail alone and fades coarse structure over a wider band. Tiles are merged to rows, then rows to the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lib_upscale.redrawing.tiles.filters import Pixels, Plane, gaussian
from lib_upscale.redrawing.tiles.grid import Axis, Grid, Tile
from lib_upscale.settings.redraw import Blend

__all__ = ["assemble", "blend_across", "blend_bands", "cut_path", "ramp", "weights"]


_LEAST_OVERLAP = 8
"""Pixels of overlap below which a cut has no choice, and a fade must do."""
_FEATHER = 1.0
"""Standard deviation, in pixels, of the fade along a plain cut: only enough to leave no jagged line."""
_WIDEST = 8.0
"""Standard deviation, in pixels, of the widest fade of a multi-band blend."""


def assemble(grid: Grid, pixels_of: Callable[[Tile], Pixels], blend: Blend) -> Pixels:
    """Merge all tiles.

    Args:
        grid: Where they lie.
        pixels_of: Gives the pixels of a tile, finished or as it was: (height, width, 3), 0..1.
        blend: How to merge two that overlap.

    Returns:
        The pixels of the grid's area, (height, width, 3).
    """
    area = grid.area
    picture = np.empty((area.height, area.width, 3), dtype=np.float32)
    for row in range(grid.rows):
        strip = _strip(grid, row, pixels_of, blend)
        _lay(picture, strip, grid.down, row, blend)
    return picture


def _strip(grid: Grid, row: int, pixels_of: Callable[[Tile], Pixels], blend: Blend) -> Pixels:
    """One row of tiles, merged."""
    # Lying on its side, so that tiles and rows are merged by the same few lines.
    strip = np.empty((grid.area.width, grid.tile.height, 3), dtype=np.float32)
    for column in range(grid.columns):
        _lay(strip, pixels_of(grid.at(column, row)).swapaxes(0, 1), grid.across, column, blend)
    return np.asarray(strip.swapaxes(0, 1), dtype=np.float32)


def _lay(picture: Pixels, part: Pixels, axis: Axis, index: int, blend: Blend) -> None:
    """Lay part `index` of an axis below those that lie there already, merged over what they share."""
    first = axis.origins[index] - axis.start
    shared = len(axis.shared(index - 1)) if index else 0
    if shared:
        above, below = picture[first : first + shared], part[:shared]
        merged = blend_across(above.swapaxes(0, 1), below.swapaxes(0, 1), blend)
        picture[first : first + shared] = merged.swapaxes(0, 1)
    picture[first + shared : first + axis.tile] = part[shared:]


def blend_across(left: Pixels, right: Pixels, blend: Blend) -> Pixels:
    """Merge two pictures of equal size, (height, width, 3), into one: `left` at its left border, `right` at its right.

    The change happens within the inner half of the width: what lies nearer to the border of a tile was painted with
    less context and is not used.
    """
    difference = left - right
    if blend is Blend.LINEAR or left.shape[1] < _LEAST_OVERLAP:
        merged = right + ramp(left.shape[1])[None, :, None] * difference
    else:
        merged = right + blend_bands(difference, _left_of_cut(difference), _widest(left.shape[1], blend))
    return np.asarray(merged, dtype=np.float32)


def ramp(width: int) -> NDArray[np.float32]:
    """Weigh the left of two tiles over an overlap of that many pixels: 1, then falling in the inner half, then 0."""
    position = (np.arange(width, dtype=np.float32) + 0.5) / width
    falling = np.clip(1.5 - 2 * position, 0, 1)
    return np.asarray(falling * falling * (3 - 2 * falling), dtype=np.float32)  # smooth at both ends


def weights(axis: Axis) -> NDArray[np.float32]:
    """Weigh the tiles of an axis as a linear merge does: (tiles, length), columns sum to one."""
    result = np.zeros((len(axis.origins), axis.length), dtype=np.float32)
    for index, origin in enumerate(axis.origins):
        first = origin - axis.start
        shared = len(axis.shared(index - 1)) if index else 0
        falling = ramp(shared)
        result[:index, first : first + shared] *= falling
        result[:index, first + shared :] = 0
        result[index, first : first + shared] = 1 - falling
        result[index, first + shared : first + axis.tile] = 1
    return result


def cut_path(error: Plane) -> NDArray[np.intp]:
    """Find the column at which to cut in each row, so that the sum of `error` (height, width) along the path is least.

    The path moves by at most one column from row to row (dynamic programming). A cut at column c takes the columns
    below c from the left picture, column c and those above from the right.
    Source: Efros, Freeman 2001, Image Quilting.
    """
    height, width = error.shape
    cost = np.empty((height, width), dtype=np.float64)
    cost[0] = error[0]
    padded = np.full(width + 2, np.inf)
    for row in range(1, height):
        padded[1:-1] = cost[row - 1]
        cost[row] = error[row] + np.minimum(np.minimum(padded[:-2], padded[2:]), padded[1:-1])
    path = np.empty(height, dtype=np.intp)
    path[-1] = int(cost[-1].argmin())
    for row in range(height - 2, -1, -1):
        low = max(path[row + 1] - 1, 0)
        path[row] = low + int(cost[row, low : path[row + 1] + 2].argmin())
    return path


def _left_of_cut(difference: Pixels) -> Plane:
    """1 left of the best path through the inner half of an overlap, 0 right of it."""
    width = difference.shape[1]
    low, high = width // 4, width - width // 4
    squared = np.square(difference).sum(axis=2)
    # A step from column c-1 to column c crosses from one picture into the other: both count.
    path = low + cut_path(squared[:, low - 1 : high - 1] + squared[:, low:high])
    return np.asarray(np.arange(width)[None, :] < path[:, None], dtype=np.float32)


def _widest(width: int, blend: Blend) -> float:
    """Standard deviation of the widest fade: at 3 of them it ends inside the outer quarter of the overlap."""
    return min(_FEATHER if blend is Blend.CUT else _WIDEST, (width // 4) / 3)


def blend_bands(difference: Pixels, mask: Plane, widest: float) -> Pixels:
    """Blend a difference by bands: what to add to one picture so that it becomes another where `mask` is 1.

    Each band of frequencies, an octave wide, is multiplied by the mask blurred about as much as the band is coarse,
    up to a standard deviation of `widest` pixels.
    Source: Burt, Adelson 1983, without their decimation; the blend of two pictures is linear in their difference.
    """
    result = np.zeros_like(difference)
    finer, sigma = difference, min(_FEATHER, widest)
    while 2 * sigma <= widest:
        coarser = gaussian(finer, sigma)
        result += (finer - coarser) * gaussian(mask, sigma)[:, :, None]
        finer, sigma = coarser, sigma * 2
    result += finer * gaussian(mask, widest)[:, :, None]
    return result
