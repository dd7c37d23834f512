"""The seam pass: borders that stand out are redrawn by a tile that has them in its middle."""

from __future__ import annotations

import numpy as np

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.tiles.blending import blend_across
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.redrawing.tiles.grid import LATENT, Grid
from lib_upscale.redrawing.tiles.seams import Border
from lib_upscale.settings.redraw import Blend

__all__ = ["blend_patch", "patch_region"]


def patch_region(border: Border, grid: Grid) -> Region:
    """Where to put a tile, as large as the others, so that the border runs through its middle."""
    shared, area = border.shared, grid.area
    if border.upright:
        return Region(_centered(shared.x, shared.width, grid.tile.width, area.x, area.width), shared.y, *grid.tile)
    return Region(shared.x, _centered(shared.y, shared.height, grid.tile.height, area.y, area.height), *grid.tile)


def _centered(first: int, shared: int, side: int, start: int, length: int) -> int:
    wished = (first + shared // 2 - side // 2) // LATENT * LATENT
    return min(max(wished, start), start + length - side)


def blend_patch(canvas: Pixels, patch: Pixels, region: Region, area: Region, blend: Blend, *, upright: bool) -> Pixels:
    """What to put at `region` of the canvas: `patch`, which belongs there, merged into what surrounds it.

    Across the border the patch's inner quarter is shown whole, along it all but the ends; at the rim of `area`
    there is nothing to merge with.
    """
    around = canvas[region.rows, region.columns]
    at_start = region.y == area.y if upright else region.x == area.x
    at_end = region.bottom == area.bottom if upright else region.right == area.right
    if not upright:
        around, patch = around.swapaxes(0, 1), patch.swapaxes(0, 1)
    side, length = patch.shape[1], patch.shape[0]
    result = _set_in(around, patch, side // 8, side // 4, blend)
    feather = length // 8
    ends = _set_in(around.swapaxes(0, 1), result.swapaxes(0, 1), 0, feather, blend).swapaxes(0, 1)
    if at_start:
        ends[:feather] = result[:feather]
    if at_end:
        ends[length - feather :] = result[length - feather :]
    return np.asarray(ends if upright else ends.swapaxes(0, 1), dtype=np.float32)


def _set_in(around: Pixels, inner: Pixels, margin: int, feather: int, blend: Blend) -> Pixels:
    """`inner`, from column `margin` on merged over `feather` columns on either side into `around`."""
    width = inner.shape[1]
    left, right = slice(margin, margin + feather), slice(width - margin - feather, width - margin)
    result: Pixels = around.copy()
    result[:, margin : width - margin] = inner[:, margin : width - margin]
    result[:, left] = blend_across(around[:, left], inner[:, left], blend)
    result[:, right] = blend_across(inner[:, right], around[:, right], blend)
    return result
