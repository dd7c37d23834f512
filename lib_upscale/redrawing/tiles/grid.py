"""Plans where the tiles of a redraw lie: equal, evenly spread, at multiples of the latent's pixel.

A tile of a redraw is seen by a base model that was trained at one size, so its size follows that size and not the
memory; this is what sets it apart from the plan of an upscaler's tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from lib_upscale.errors import SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.settings.redraw import SMALLEST_TILE
from lib_upscale.spread import ceil_div, count_tiles, spread

__all__ = ["AUTO_MULTIPLE", "LATENT", "Axis", "Grid", "Tile", "overlap_of", "plan_grid"]

LATENT = 8
"""Pixels of the picture, in each direction, in one pixel of the latent."""
AUTO_MULTIPLE = 64
"""A side that the UNet halves three times without a remainder: 8 latent pixels."""
_LEAST, _MOST = 0.85, 1.3
"""Of the native size: beyond it a base model repeats or blurs things."""
_AUTO_OVERLAP = 8
"""An automatic overlap is a tile's side over this. With it the UNet computes 1.27 times the pixels of the result at
2048x2048, and borders can't be told from the whole picture's (benchmarks/redraw.py)."""


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: `origins` of tiles of `tile` pixels that cover `start` to `start` + `length`."""

    start: int
    length: int
    tile: int
    origins: tuple[int, ...]

    def shared(self, index: int) -> range:
        """The pixels that tile `index` shares with the next one: its overlap."""
        return range(self.origins[index + 1], self.origins[index] + self.tile)


@dataclass(frozen=True)
class Tile:
    """One tile of a grid. `index` counts by rows; `region` is what the painter is shown, in the canvas."""

    index: int
    column: int
    row: int
    region: Region


@dataclass(frozen=True)
class Grid:
    """The tiles of one pass over an area of the canvas. Every tile lies inside the area, and they cover it."""

    canvas: Size
    """The picture's size, grown to what tiles and latent need; the rest is reflected and cut off again."""
    across: Axis
    down: Axis

    @property
    def area(self) -> Region:
        """What the tiles cover."""
        return Region(self.across.start, self.down.start, self.across.length, self.down.length)

    @property
    def tile(self) -> Size:
        """The size of every tile."""
        return Size(self.across.tile, self.down.tile)

    @property
    def columns(self) -> int:
        """How many tiles lie side by side."""
        return len(self.across.origins)

    @property
    def rows(self) -> int:
        """How many rows of tiles there are."""
        return len(self.down.origins)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, row by row."""
        return tuple(
            Tile(row * self.columns + column, column, row, Region(x, y, *self.tile))
            for row, y in enumerate(self.down.origins)
            for column, x in enumerate(self.across.origins)
        )

    @property
    def middle(self) -> Tile:
        """The tile at the center, for a test of one."""
        return self.tiles[self.rows // 2 * self.columns + self.columns // 2]

    def at(self, column: int, row: int) -> Tile:
        """Return the tile in that column and row."""
        return self.tiles[row * self.columns + column]

    def around(self, tile: Tile) -> list[Tile]:
        """List the other tiles that share pixels with this one."""
        return [t for t in self.tiles if t is not tile and t.region.intersection(tile.region)]


def plan_grid(
    picture: Size,
    *,
    native: int,
    tile: int = 0,
    overlap: int | None = None,
    multiple: int = LATENT,
    within: Region | None = None,
) -> Grid:
    """Plan the tiles of a picture.

    Args:
        picture: Its size.
        native: The side in pixels at which the base model was trained.
        tile: The side of a tile in pixels, rounded up to `multiple`. 0 chooses for each direction, among the multiples
            of 64 between 0.85 and 1.3 of `native`, the one that computes the fewest pixels.
        overlap: How many pixels neighbors share at least; None: an eighth of the tile.
        multiple: What the painter's network needs a side to be a multiple of.
        within: The part to cover; None: all.

    Raises:
        SettingsError: The tile is below 64, or the overlap half of a tile or more.
    """
    _check(native, tile, overlap)
    area = within or Region.whole(picture)
    across = _plan_axis(area.x, area.width, picture.width, native, tile, overlap, multiple)
    down = _plan_axis(area.y, area.height, picture.height, native, tile, overlap, multiple)
    canvas = Size(
        max(_round_up(picture.width, LATENT), across.start + across.length),
        max(_round_up(picture.height, LATENT), down.start + down.length),
    )
    return Grid(canvas, across, down)


def overlap_of(tile: int, overlap: int | None) -> int:
    """Return the overlap asked for, or the automatic one of a tile of that side."""
    return tile // _AUTO_OVERLAP if overlap is None else overlap


def _plan_axis(
    start: int, length: int, picture: int, native: int, tile: int, overlap: int | None, multiple: int
) -> Axis:
    end = _round_up(start + length, LATENT)
    start -= start % LATENT
    length = end - start
    if tile:
        side = min(_round_up(tile, multiple), _round_up(length, multiple))
    else:
        side = _choose_side(length, native, overlap)
    if side > length:  # one tile, moved inside the picture as far as that goes
        start = max(0, min(start, _round_up(picture, LATENT) - side))
        length = side
    origins = spread(length, side, overlap_of(side, overlap), LATENT, nearest=True)
    return Axis(start, length, side, tuple(start + origin for origin in origins))


def _choose_side(length: int, native: int, overlap: int | None) -> int:
    """The side that costs least; of equals the one nearest to native. A shorter picture is one tile."""
    least = _smallest_side(native)
    most = max(least, int(_MOST * native) // AUTO_MULTIPLE * AUTO_MULTIPLE)
    if length <= least:
        return _round_up(length, AUTO_MULTIPLE)

    def cost(side: int) -> tuple[int, int]:
        return side * count_tiles(length, side, overlap_of(side, overlap), LATENT), abs(side - native)

    return min(range(least, most + 1, AUTO_MULTIPLE), key=cost)


def _smallest_side(native: int) -> int:
    """The smallest side that is chosen automatically."""
    return _round_up(max(math.ceil(_LEAST * native), SMALLEST_TILE), AUTO_MULTIPLE)


def _round_up(value: int, multiple: int) -> int:
    return ceil_div(value, multiple) * multiple


def _check(native: int, tile: int, overlap: int | None) -> None:
    if tile and tile < SMALLEST_TILE:
        raise TileTooSmallError(f"A tile of {tile} pixels is too small to redraw", SMALLEST_TILE)
    smallest = tile or _smallest_side(native)
    if overlap is not None and 2 * overlap >= smallest:
        raise SettingsError(
            f"An overlap of {overlap} is half of a tile of {smallest} or more",
            f"set the overlap below {smallest // 2} or the tile above {2 * overlap}",
        )
