"""Redrawing only a masked part: where its tiles lie, and compositing the result over the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles.filters import Pixels, Plane

__all__ = ["Footprint", "composite", "find_masked_region"]

_Reach = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Of each pixel along one side of a resized mask: the first of the mask's pixels that it is made of, and their end."""


class Footprint:
    """Where a mask is above 0 once `filters.resize` has given it a size, told without resizing it.

    Args:
        mask: (height, width), none of it below 0.
        size: That of the picture.
    """

    def __init__(self, mask: Plane, size: Size) -> None:
        self._mask = mask > 0
        self._down, self._across = _reach(mask.shape[0], size.height), _reach(mask.shape[1], size.width)

    def touches(self, region: Region) -> bool:
        """Whether any pixel of a part of the picture is masked."""
        rows, columns = self._under(region)
        return bool(self._mask[rows, columns].any())

    def bounds(self, region: Region) -> Region | None:
        """Find the smallest part with all that is masked within a part of the picture; None if nothing is."""
        rows, columns = self._under(region)
        down = _masked(np.any(self._mask[:, columns], axis=1), self._down, region.rows)
        across = _masked(np.any(self._mask[rows], axis=0), self._across, region.columns)
        return Region.between(across[0], down[0], across[-1] + 1, down[-1] + 1) if down else None

    def _under(self, region: Region) -> tuple[slice, slice]:
        """The rows and columns of the mask that a part of the picture is made of."""
        (top, bottom), (left, right) = self._down, self._across
        return slice(top[region.y], bottom[region.bottom - 1]), slice(left[region.x], right[region.right - 1])


def _reach(length: int, target: int) -> _Reach:
    """What pixels of a side of `length` each pixel of one of `target` is made of, by Pillow's bilinear filter.

    Source: `precompute_coeffs` in Pillow's src/libImaging/Resample.c, step by step, as roundings decide.
    """
    scale = length / target
    wide = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale
    first = np.maximum(0, (centers - wide + 0.5).astype(np.intp))
    end = np.minimum(length, (centers + wide + 0.5).astype(np.intp))
    # The last may weigh nothing.
    end -= np.abs((end - 1 - centers + 0.5) * (1.0 / wide)) >= 1
    return first, end


def _masked(line: NDArray[np.bool_], reach: _Reach, part: slice) -> list[int]:
    """Which pixels of a part of a side are made of any that is masked in `line`."""
    counts = np.concatenate(([0], np.cumsum(line)))
    first, end = (ends[part] for ends in reach)
    return [part.start + int(place) for place in np.flatnonzero(counts[end] > counts[first])]


def find_masked_region(mask: Footprint, picture: Region, padding: int, least: int) -> Region:
    """Find the part of a picture that has to be tiled for a mask.

    A base model shown only a small spot does not see what it belongs to, so there is context around it.

    Args:
        mask: Where to redraw.
        picture: The picture: all that the mask is of, or what is cut out of that.
        padding: Pixels of context on each side.
        least: Pixels a side at least, as far as the picture goes.

    Returns:
        The part, counted from the picture's corner.

    Raises:
        SettingsError: The mask is empty.
    """
    found = mask.bounds(picture)
    if found is None:
        raise SettingsError("The mask is empty", "paint over what is to be redrawn, or use img2img without a mask")
    found = found.moved(-picture.x, -picture.y)
    left, right = _widen(found.x, found.right, padding, least, picture.width)
    top, bottom = _widen(found.y, found.bottom, padding, least, picture.height)
    return Region.between(left, top, right, bottom)


def _widen(first: int, end: int, padding: int, least: int, side: int) -> tuple[int, int]:
    missing = max(2 * padding, least - (end - first))
    first -= (missing + 1) // 2
    end += missing // 2
    # What stands out on one side is given to the other.
    first, end = first - max(0, end - side), end - min(0, first)
    return max(0, first), min(side, end)


def composite(picture: Pixels, redrawn: Pixels, mask: Plane | None) -> Pixels:
    """Lay one picture over another: `redrawn` where the mask is 1, `picture` to the last bit where it is 0."""
    if mask is None:
        return redrawn
    mixed = picture + mask[:, :, None] * (redrawn - picture)
    return np.where(mask[:, :, None] > 0, mixed, picture).astype(np.float32, copy=False)
