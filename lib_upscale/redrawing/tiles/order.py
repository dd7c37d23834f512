"""Orders tiles, and groups those that may be redrawn together."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from lib_upscale.redrawing.tiles.grid import Grid, Tile
from lib_upscale.settings.redraw import TileContext, TileOrder

__all__ = ["batches", "stages"]

_Job = TypeVar("_Job")


def stages(grid: Grid, order: TileOrder, mode: TileContext) -> list[list[Tile]]:
    """Group the tiles in the order in which they are redrawn; in sequential mode a tile sees the groups before its own.

    Since that depends on groups and not on batches, the size of a batch changes no result. Independent tiles are one
    group; a checkerboard has one for each color; in rows and spirals every tile sees all that came before it.
    """
    tiles = _sort(grid, order)
    if mode is TileContext.INDEPENDENT:
        return [tiles]
    if order is TileOrder.CHECKERBOARD:
        return [group for color in (0, 1) if (group := [t for t in tiles if _color(t) == color])]
    return [[tile] for tile in tiles]


def _sort(grid: Grid, order: TileOrder) -> list[Tile]:
    if order is TileOrder.CHECKERBOARD:
        return sorted(grid.tiles, key=lambda t: (_color(t), t.index))
    if order is TileOrder.SPIRAL:
        return sorted(grid.tiles, key=lambda t: _turn(t.column - grid.columns // 2, t.row - grid.rows // 2))
    return list(grid.tiles)


def _color(tile: Tile) -> int:
    return (tile.column + tile.row) % 2


def _turn(x: int, y: int) -> tuple[int, float]:
    """Rings of squares around the center, each run through clockwise from its top left corner."""
    return max(abs(x), abs(y)), (math.atan2(y, x) + 0.75 * math.pi) % (2 * math.pi)


def batches(jobs: Sequence[_Job], size: int, key: Callable[[_Job], Hashable]) -> Iterator[list[_Job]]:
    """Yield at most `size` jobs at a time, in order, together only while their keys are equal."""
    batch: list[_Job] = []
    for job in jobs:
        if batch and (len(batch) == size or key(batch[0]) != key(job)):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch
