"""Spread equal tiles over a length: the arithmetic that all tilers share. Whole numbers only."""

from __future__ import annotations

__all__ = ["ceil_div", "count_tiles", "partition", "spread"]


def ceil_div(dividend: int, divisor: int) -> int:
    """Divide and round up."""
    return -(-dividend // divisor)


def count_tiles(length: int, tile: int, min_overlap: int = 0, multiple: int = 1) -> int:
    """Count the fewest equal tiles that cover a length. Arguments and errors are those of `spread`."""
    if tile >= length:
        return 1
    stride = (tile - min_overlap) // multiple
    if stride < 1:
        raise ValueError(f"a tile of {tile} with an overlap of {min_overlap} can't advance by {multiple}")
    return 1 + ceil_div(ceil_div(length - tile, multiple), stride)


def spread(
    length: int, tile: int, min_overlap: int = 0, multiple: int = 1, *, nearest: bool = False
) -> tuple[int, ...]:
    """Spread as few equal tiles as possible evenly over a length.

    The first tile begins at 0 and the last one ends at `length`. One tile that is longer than `length` begins at 0.

    Args:
        length: What the tiles cover.
        tile: The length of each tile.
        min_overlap: What two neighbors share at least; less than `tile`.
        multiple: Origins are multiples of this, but for the last one where `length - tile` is not.
        nearest: Round origins to the nearest multiple, halves up, instead of down. Both keep the overlap.

    Returns:
        Where the tiles begin, in ascending order without repetition.

    Raises:
        ValueError: More than one tile is needed and a tile without its overlap is shorter than `multiple`.
    """
    if tile >= length:
        return (0,)
    gaps = count_tiles(length, tile, min_overlap, multiple) - 1
    last = length - tile
    half = gaps // 2 if nearest else 0
    units = ceil_div(last, multiple)
    return (*((units * i + half) // gaps * multiple for i in range(gaps)), last)


def partition(length: int, longest: int) -> tuple[int, ...]:
    """Cut a length into as few, about equal parts as possible.

    Args:
        length: What is cut.
        longest: No part is longer.

    Returns:
        Where parts begin and end: 0, every cut, `length`. One more than there are parts.
    """
    # Cuts are tiles without a length that lie no further apart than the longest part.
    return spread(length, 0, -longest)
