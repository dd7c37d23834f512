"""Sizes and regions in whole pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lib_upscale.spread import ceil_div

__all__ = ["Region", "Size"]


@dataclass(frozen=True, order=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a size needs at least one pixel a side, not {self.width}x{self.height}")

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def scaled(self, factor: int) -> Size:
        """Both sides times a whole number, as a network of that scale makes them."""
        return Size(self.width * factor, self.height * factor)

    def rounded_up(self, multiple: int) -> Size:
        """The smallest size of at least this one whose sides are multiples of that."""
        return Size(ceil_div(self.width, multiple) * multiple, ceil_div(self.height, multiple) * multiple)

    def __iter__(self) -> Iterator[int]:
        return iter((self.width, self.height))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, order=True)
class Region:
    """A rectangle of whole pixels: columns `x` to `right` - 1, rows `y` to `bottom` - 1. Never empty."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a region needs at least one pixel a side, not {self.width}x{self.height}")

    @classmethod
    def between(cls, left: int, top: int, right: int, bottom: int) -> Region:
        """The region from (left, top) to, but without, (right, bottom)."""
        return cls(left, top, right - left, bottom - top)

    @classmethod
    def whole(cls, size: Size) -> Region:
        """All of a picture of that size."""
        return cls(0, 0, size.width, size.height)

    @property
    def right(self) -> int:
        """The first column that no longer belongs to it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row that no longer belongs to it."""
        return self.y + self.height

    @property
    def size(self) -> Size:
        """Its width and height."""
        return Size(self.width, self.height)

    @property
    def rows(self) -> slice:
        """For indexing an array's rows."""
        return slice(self.y, self.bottom)

    @property
    def columns(self) -> slice:
        """For indexing an array's columns."""
        return slice(self.x, self.right)

    def moved(self, dx: int, dy: int) -> Region:
        """The same rectangle elsewhere."""
        return Region(self.x + dx, self.y + dy, self.width, self.height)

    def scaled(self, factor: int) -> Region:
        """Where it lies after a network of that scale."""
        return Region(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def contains(self, other: Region) -> bool:
        """Whether no pixel of `other` lies outside."""
        return self.x <= other.x and self.y <= other.y and other.right <= self.right and other.bottom <= self.bottom

    def intersection(self, other: Region) -> Region | None:
        """What both share, or None."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Region.between(left, top, right, bottom) if left < right and top < bottom else None

    def grown(self, margin: int, within: Size) -> Region:
        """Larger by `margin` on every side, but not beyond a picture of the size `within`."""
        return Region.between(
            max(0, self.x - margin),
            max(0, self.y - margin),
            min(within.width, self.right + margin),
            min(within.height, self.bottom + margin),
        )
