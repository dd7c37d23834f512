"""Where the tiles of a redraw lie: equal, evenly spread, at multiples of the latent's pixel.

A tile of a redraw is seen by a base model that was trained at one size, so its size follows that size and not the
memory; this is what sets it apart from the plan of an upscaler's tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lib_upscale.errors import SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.settings.redraw import SMALLEST_TILE

__all__ = ["AUTO_MULTIPLE", "LATENT", "Axis", "Grid", "Tile", "plan_grid"]

LATENT = 8
"""Pixels of the picture, in each direction, in one pixel of the latent."""
AUTO_MULTIPLE = 64
"""A side that the UNet halves three times without a rest: 8 latent pixels."""
_LEAST, _MOST = 0.85, 1.3  # of the native size: beyond it a base model repeats or blurs things
_SHARE = 8  # of a tile is its overlap where none is asked for


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: `origins` of tiles of `tile` pixels that cover `start` to `start` + `length`."""

    start: int
    length: int
    tile: int
    origins: tuple[int, ...]

    @property
    def covered(self) -> int:
        """Pixels that the tiles compute, those in overlaps as often as they are computed."""
        return self.tile * len(self.origins)

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
        """The tile in that column and row."""
        return self.tiles[row * self.columns + column]

    def around(self, tile: Tile) -> list[Tile]:
        """The other tiles that share pixels with this one."""
        return [t for t in self.tiles if t is not tile and t.region.intersection(tile.region)]


def plan_grid(
    picture: Size, *, native: int, tile: int = 0, overlap: int | None = None, multiple: int = LATENT,
    within: Region | None = None,
) -> Grid:  # fmt: skip
    """The grid for a picture, or for the part of it given by `within`.

    `native` is the side in pixels at which the base model was trained. `tile` 0 chooses for each direction, among the
    multiples of 64 between 0.85 and 1.3 of native, the one that computes the fewest pixels at no less than `overlap`;
    any other number is kept (rounded up to `multiple`, what the painter's network needs of a side). `overlap` None
    is an eighth of the tile. Raises `SettingsError` for a tile below 64 or an overlap of half a tile or more.
    """
    _check(native, tile, overlap)
    area = within or Region.whole(picture)
    across = _axis(area.x, area.width, picture.width, native, tile, overlap, multiple)
    down = _axis(area.y, area.height, picture.height, native, tile, overlap, multiple)
    canvas = Size(
        max(_up(picture.width, LATENT), across.start + across.length),
        max(_up(picture.height, LATENT), down.start + down.length),
    )
    return Grid(canvas, across, down)


def _axis(
    start: int, length: int, picture: int, native: int, tile: int, overlap: int | None, multiple: int
) -> Axis:  # fmt: skip
    end = _up(start + length, LATENT)
    start -= start % LATENT
    length = end - start
    side = min(_up(tile, multiple), _up(length, multiple)) if tile else _automatic(length, native, overlap)
    if side > length:  # one tile, moved inside the picture as far as that goes
        start = max(0, min(start, _up(picture, LATENT) - side))
        length = side
    return Axis(start, length, side, _origins(start, length, side, _stride(side, overlap)))


def _automatic(length: int, native: int, overlap: int | None) -> int:
    """The side that costs least; of equals the one nearest to native. A shorter picture is one tile."""
    least = _up(max(_LEAST * native, SMALLEST_TILE), AUTO_MULTIPLE)
    most = max(least, int(_MOST * native) // AUTO_MULTIPLE * AUTO_MULTIPLE)
    if length <= least:
        return _up(length, AUTO_MULTIPLE)

    def cost(side: int) -> tuple[int, int]:
        return side * _count(length, side, _stride(side, overlap)), abs(side - native)

    return min(range(least, most + 1, AUTO_MULTIPLE), key=cost)


def _stride(side: int, overlap: int | None) -> int:
    """The furthest that two neighboring origins may lie apart."""
    shared = side // _SHARE if overlap is None else overlap
    return max(LATENT, (side - shared) // LATENT * LATENT)


def _count(length: int, side: int, stride: int) -> int:
    return 1 + max(0, -(-(length - side) // stride))


def _origins(start: int, length: int, side: int, stride: int) -> tuple[int, ...]:
    """Evenly spread from the start to where the last tile ends exactly at the end, at multiples of `LATENT`."""
    gaps = _count(length, side, stride) - 1
    steps = (length - side) // LATENT
    return tuple(start + (i * steps + gaps // 2) // gaps * LATENT for i in range(gaps + 1)) if gaps else (start,)


def _up(value: float, multiple: int) -> int:
    return int(-(-value // multiple) * multiple)


def _check(native: int, tile: int, overlap: int | None) -> None:
    if tile and tile < SMALLEST_TILE:
        raise TileTooSmallError(f"A tile of {tile} pixels is too small to redraw", SMALLEST_TILE)
    smallest = tile or _up(max(_LEAST * native, SMALLEST_TILE), AUTO_MULTIPLE)
    if overlap is not None and 2 * overlap >= smallest:
        raise SettingsError(
            f"An overlap of {overlap} is half of a tile of {smallest} or more",
            f"set the overlap below {smallest // 2} or the tile above {2 * overlap}",
        )
