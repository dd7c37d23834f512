"""How visible the borders between tiles are, and which of them to redraw in a last pass.

The measure compares the mean absolute gradient at a border with that beside it: 1 is invisible, more is an edge,
less is a band of missing detail. A picture has edges of its own, so a border counts only as far as the same place of
the picture before the redraw does not show it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.tiles.filters import Pixels, Plane, luma
from lib_upscale.redrawing.tiles.grid import Grid

__all__ = ["Border", "border_ratio", "borders", "discontinuity", "stands_out"]

_NEAR, _FROM, _TO = 2, 8, 40  # columns: at the border within _NEAR, beside it from _FROM to _TO
_VISIBLE = 1.25
"""A border's gradient beyond this factor, either way, stands out. Below it is the scatter of ordinary texture."""
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
    """All borders of a grid, named for the journal."""
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


def border_ratio(plane: Plane, position: int) -> float:
    """Gradient at column `position` of a plane over the median of the columns 8 to 40 pixels to either side."""
    first = max(position - _TO, 0)
    gradient = _gradient(plane[:, first : position + _TO + 1])
    return _ratio(gradient, position - first)


def _gradient(plane: Plane) -> NDArray[np.float64]:
    """Mean absolute step from each column to the next."""
    return np.asarray(np.abs(np.diff(plane.astype(np.float64), axis=1)).mean(axis=0), dtype=np.float64)


def _ratio(gradient: NDArray[np.float64], position: int) -> float:
    beside = np.r_[
        gradient[max(position - _TO, 0) : max(position - _FROM, 0)], gradient[position + _FROM : position + _TO]
    ]
    near = gradient[max(position - _NEAR, 0) : position + _NEAR]
    if not len(beside) or not len(near):
        return 1.0
    return float((near.mean() + _FLAT) / (np.median(beside) + _FLAT))


def discontinuity(border: Border, picture: Pixels, before: Pixels, origin: tuple[int, int] = (0, 0)) -> float:
    """How much a border stands out in `picture` beyond what `before`, the same place not redrawn, shows.

    1 is invisible; the number is the factor, above 1, by which the gradient at the most visible column of the overlap's
    inner half is too high or too low. Both pictures begin at `origin` (x, y) of the canvas.
    """
    logs = np.log(_profile(border, picture, origin)) - np.log(_profile(border, before, origin))
    return float(np.exp(np.abs(logs).max(initial=0.0)))


def _profile(border: Border, picture: Pixels, origin: tuple[int, int]) -> NDArray[np.float64]:
    """The ratio at every second column of the inner half of the overlap, for the rows of the border."""
    place = border.shared.moved(-origin[0], -origin[1])
    if not border.upright:
        picture = picture.swapaxes(0, 1)
        place = Region(place.y, place.x, place.height, place.width)
    inner = max(1, place.width // 4)
    first = max(0, place.x - _TO)
    gradient = _gradient(luma(picture[place.rows, first : place.right + _TO]))
    positions = range(place.x + inner - first, max(place.right - inner, place.x + inner + 1) - first, 2)
    return np.array([_ratio(gradient, position) for position in positions])


def stands_out(value: float) -> bool:
    """Whether a `discontinuity` is one that a person may see."""
    return value > _VISIBLE
