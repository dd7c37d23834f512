"""Plans where the tiles of an image lie. Whole numbers only, without pixels or networks.

A tile has a `core`, the region it is responsible for, and a `source`, the region that goes into the network. The
cores partition the region that was asked for. Neighboring sources share `overlap` pixels or more, and the border
between two cores lies on the midline of what they share.

Tiles are equal, spread evenly and shifted inside the image. With an alignment, origins are multiples of it; the last
tile of a row or column may then reach beyond the image by less than the alignment, which is what the network itself
would add to the whole image. That part is not in `source`: it is padded by reflection when the tile is cropped
(`Plan.tile_size` says how large the network's input is). An image that is not cut goes in as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from lib_upscale.errors import TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.spread import ceil_div, count_tiles, spread

__all__ = ["Plan", "SizeConstraint", "Tile", "plan_tiles", "smallest_tile"]


@dataclass(frozen=True)
class SizeConstraint:
    """What a network demands of its tiles, in source pixels."""

    align: int = 1
    """Origins and sizes are multiples of this: window, unshuffle and `multiple_of` together."""
    minimum: int = 1
    """No side of the network's input may be shorter."""
    square: bool = False
    """The network's input must be square."""

    def ceil(self, pixels: int) -> int:
        """Return the smallest allowed side that is not shorter than `pixels`."""
        return ceil_div(max(pixels, self.minimum), self.align) * self.align


@dataclass(frozen=True)
class Tile:
    """One tile. `source` contains `core`."""

    core: Region
    """What the tile is responsible for."""
    source: Region
    """What goes into the network."""


@dataclass(frozen=True)
class _Span:
    """One tile along one axis."""

    core: tuple[int, int]
    source: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """The tiles of one region of an image, in rows from the top left."""

    size: Size
    """The image's size."""
    region: Region
    """What the cores partition: the whole image, or what is left of it."""
    tile_size: Size
    """The size of the network's input, equal for all tiles. No side of a `source` is longer."""
    overlap: int
    """What two neighboring sources share at least, in pixels."""
    columns: tuple[_Span, ...]
    rows: tuple[_Span, ...]

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    def __iter__(self) -> Iterator[Tile]:
        return (self._tile(row, column) for row, column in product(self.rows, self.columns))

    def __getitem__(self, number: int) -> Tile:
        row, column = divmod(number, len(self.columns))
        return self._tile(self.rows[row], self.columns[column])

    @staticmethod
    def _tile(row: _Span, column: _Span) -> Tile:
        return Tile(
            core=Region.between(column.core[0], row.core[0], column.core[1], row.core[1]),
            source=Region.between(column.source[0], row.source[0], column.source[1], row.source[1]),
        )

    @cached_property
    def computed_pixels(self) -> int:
        """Source pixels that the network computes, overlap and padding counted."""
        return len(self) * self.tile_size.pixels

    @property
    def single(self) -> bool:
        """Whether there is one tile only, so that nothing is cut."""
        return len(self) == 1


def smallest_tile(overlap: int, constraint: SizeConstraint) -> int:
    """Return the smallest tile side that leaves a core worth its overlap: half as wide as the overlap, and aligned."""
    return constraint.ceil(overlap + max(constraint.align, overlap // 2, 1))


def plan_tiles(
    size: Size, tile: int, overlap: int, constraint: SizeConstraint = SizeConstraint(), region: Region | None = None
) -> Plan:
    """Cover an image, or a region of it, with equal tiles.

    Args:
        size: The image's size, in pixels.
        tile: The longest side of a tile's source, in pixels.
        overlap: What neighboring sources share at least, in pixels.
        constraint: What the network demands of its tiles.
        region: What the cores partition; None is the whole image.

    Raises:
        TileTooSmallError: More than one tile is needed and `tile` leaves too small a core.
    """
    region = region or Region.whole(size)
    largest = tile // constraint.align * constraint.align
    reach = ceil_div(overlap, 2)
    axes = (
        _Axis(size.width, region.x, region.right, reach, constraint.align),
        _Axis(size.height, region.y, region.bottom, reach, constraint.align),
    )
    if any(axis.needs_more_than(largest) for axis in axes) or largest < constraint.ceil(1):
        needed = smallest_tile(overlap, constraint)
        if largest < needed:
            raise TileTooSmallError(f"A tile of {tile} is too small for an overlap of {overlap}", needed)
    sides = [axis.tile_side(largest, overlap, constraint) for axis in axes]
    if constraint.square:
        sides = [max(sides)] * 2
    columns, rows = (axis.spans(side, overlap) for axis, side in zip(axes, sides, strict=True))
    whole = len(columns) == len(rows) == 1 and region == Region.whole(size)
    # An image that is not cut goes in as it is: how a network fills up its windows is its own, and differs from ours by
    # up to 84 levels at the edges (DAT).
    return Plan(size, region, size if whole else Size(*sides), overlap, columns, rows)


@dataclass(frozen=True)
class _Axis:
    """One axis of the image, of which the part from `start` to `end` is to be covered."""

    length: int
    start: int
    end: int
    reach: int
    """How far a tile must see beyond a cut."""
    align: int

    @property
    def first(self) -> int:
        """Where the first source begins: aligned, and far enough before `start` unless that is the border."""
        return max(0, self.start - self.reach) // self.align * self.align

    @property
    def extent(self) -> int:
        """Aligned length that the sources cover, from `first`."""
        last = min(self.length, self.end + self.reach)
        return ceil_div(last - self.first, self.align) * self.align

    def needs_more_than(self, tile: int) -> bool:
        return self.extent > tile

    def tile_side(self, largest: int, overlap: int, constraint: SizeConstraint) -> int:
        """The smallest aligned side with which the fewest possible tiles still overlap enough."""
        if not self.needs_more_than(largest):
            return constraint.ceil(self.extent)
        count = count_tiles(self.extent, largest, overlap, self.align)
        shared = (count - 1) * ceil_div(overlap, self.align)
        return max(constraint.ceil(1), ceil_div(self.extent // self.align + shared, count) * self.align)

    def spans(self, side: int, overlap: int) -> tuple[_Span, ...]:
        """Tiles of that side, spread evenly, each cut on the midline of what it shares with the next."""
        origins = self._origins(side, overlap)
        # The part beyond the image (alignment, minimum) exists in the network's input only.
        ends = [min(origin + side, self.length) for origin in origins]
        cuts = [
            self.start,
            *(
                min(max(self.start, (origin + end) // 2), self.end)
                for origin, end in zip(origins[1:], ends, strict=False)
            ),
            self.end,
        ]
        # A region may leave a tile at its border without a pixel: an odd overlap reaches further than to its midline.
        return tuple(
            _Span((cuts[i], cuts[i + 1]), (origin, end))
            for i, (origin, end) in enumerate(zip(origins, ends, strict=True))
            if cuts[i] < cuts[i + 1]
        )

    def _origins(self, side: int, overlap: int) -> list[int]:
        if side >= self.extent:
            # One that must be longer than needed begins earlier: there are pixels, while what lies beyond the border
            # is padding.
            return [min(self.first, max(0, ceil_div(self.length - side, self.align) * self.align))]
        return [self.first + origin for origin in spread(self.extent, side, overlap, self.align)]
