"""The seam pass: measures how visible the borders between tiles are, and redraws those that stand out.

A border that stands out is redrawn by a tile that has it in its middle. The measure compares the mean absolute
gradient at a border with that away from it: 1 is invisible, more is an edge, less is a band of missing detail. A
picture has edges of its own, so a border counts only as far as the same place of the picture before the redraw does
not show it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.tiles.blending import blend_across
from lib_upscale.redrawing.tiles.filters import Pixels, Plane, luma
from lib_upscale.redrawing.tiles.grid import LATENT, Grid
from lib_upscale.settings.redraw import Blend

__all__ = ["Border", "blend_patch", "borders", "discontinuity", "patch_region", "stands_out"]

_NEAR, _FROM, _TO = 2, 8, 40
"""Columns: at the border within the first, away from it from the second to the third, as in benchmarks/redraw.py."""
_VISIBLE = 1.25
"""A border's gradient beyond this factor, either way, stands out. Below it is the scatter of ordinary texture: two
whole pictures of different seeds differ by up to 1.10 there (benchmarks/redraw.py)."""
_FLAT = 0.25 / 255
"""Gradient, of 0..1, added to both sides of a ratio: in smooth parts a quarter of a level is nothing to see."""


@dataclass(frozen=True)
class Border:
    """The line between two neighboring tiles: what they share, in the canvas, along one side of a tile."""

    name: str
    shared: Region
    upright: bool
    """Whether it separates left from right; otherwise it separates above from below."""


def borders(grid: Grid) -> Iterator[Border]:
    """Yield all borders of a grid, named for the journal."""
    for tile in grid.tiles:
        if tile.column + 1 < grid.columns:
            yield _border(grid, f"x{tile.index}", tile.region, grid.at(tile.column + 1, tile.row).region, upright=True)
        if tile.row + 1 < grid.rows:
            yield _border(grid, f"y{tile.index}", tile.region, grid.at(tile.column, tile.row + 1).region, upright=False)


def _border(grid: Grid, name: str, first: Region, second: Region, *, upright: bool) -> Border:
    shared = first.intersection(second)
    if shared is None:  # tiles that only touch
        x, y = (second.x - 1, second.y) if upright else (second.x, second.y - 1)
        shared = Region(x, y, 2 if upright else first.width, first.height if upright else 2)
    return Border(name, shared, upright)


def _gradient(plane: Plane) -> NDArray[np.float64]:
    """Mean absolute step from each column to the next."""
    return np.asarray(np.abs(np.diff(plane.astype(np.float64), axis=1)).mean(axis=0), dtype=np.float64)


def _ratio(gradient: NDArray[np.float64], position: int) -> float:
    """The gradient at a column over the median of those 8 to 40 pixels to either side."""
    before, after = slice(max(position - _TO, 0), max(position - _FROM, 0)), slice(position + _FROM, position + _TO)
    away = np.r_[gradient[before], gradient[after]]
    near = gradient[max(position - _NEAR, 0) : position + _NEAR]
    if not len(away) or not len(near):
        return 1.0
    return float((near.mean() + _FLAT) / (np.median(away) + _FLAT))


def discontinuity(border: Border, picture: Pixels, before: Pixels) -> float:
    """Measure how much a border stands out.

    Args:
        border: The border.
        picture: The whole canvas, (height, width, 3), 0..1.
        before: The same, not redrawn: what it shows too does not count.

    Returns:
        The factor, 1 or more, by which the gradient at the most visible column of the overlap's inner half is too high
        or too low. 1 is invisible.
    """
    logs = np.log(_profile(border, picture)) - np.log(_profile(border, before))
    return float(np.exp(np.abs(logs).max(initial=0.0)))


def _profile(border: Border, picture: Pixels) -> NDArray[np.float64]:
    """The ratio at every second column of the inner half of the overlap, for the rows of the border."""
    place = border.shared
    if not border.upright:
        picture = picture.swapaxes(0, 1)
        place = Region(place.y, place.x, place.height, place.width)
    inner = max(1, place.width // 4)
    first = max(0, place.x - _TO)
    gradient = _gradient(luma(picture[place.rows, first : place.right + _TO]))
    positions = range(place.x + inner - first, max(place.right - inner, place.x + inner + 1) - first, 2)
    return np.array([_ratio(gradient, position) for position in positions])


def stands_out(value: float) -> bool:
    """Say whether a `discontinuity` is one that a person may see."""
    return value > _VISIBLE


def patch_region(border: Border, grid: Grid) -> Region:
    """Place a tile, as large as the others, so that the border runs through its middle."""
    shared, area = border.shared, grid.area
    if border.upright:
        return Region(_center(shared.x, shared.width, grid.tile.width, area.x, area.width), shared.y, *grid.tile)
    return Region(shared.x, _center(shared.y, shared.height, grid.tile.height, area.y, area.height), *grid.tile)


def _center(first: int, shared: int, side: int, start: int, length: int) -> int:
    ideal = (first + shared // 2 - side // 2) // LATENT * LATENT
    return min(max(ideal, start), start + length - side)


def blend_patch(canvas: Pixels, patch: Pixels, region: Region, area: Region, blend: Blend, *, upright: bool) -> Pixels:
    """Merge a patch over a border into what surrounds it.

    Across the border the patch's inner quarter is shown whole, along it all but the ends; at the rim of `area`
    there is nothing to merge with.

    Args:
        canvas: The whole canvas, (height, width, 3).
        patch: The redrawn tile over the border, (height, width, 3).
        region: Where it belongs in the canvas.
        area: What the grid covers of the canvas.
        blend: How to merge.
        upright: Whether the border separates left from right.

    Returns:
        What to put at `region`, a new array.
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
