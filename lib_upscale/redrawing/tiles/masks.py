"""Redrawing only a masked part: where its tiles lie, and how the result is laid over the picture."""

from __future__ import annotations

import numpy as np

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles.filters import Pixels, Plane

__all__ = ["composite", "masked_region"]


def masked_region(mask: Plane, padding: int, least: int) -> Region:
    """The part of a picture that has to be tiled for a mask (height, width), above 0 where to redraw.

    It is what the mask covers, larger by `padding` pixels of context, and at least `least` pixels a side as far
    as the picture goes: a base model shown only a small spot does not see what it belongs to.
    Raises `SettingsError` for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise SettingsError("The mask is empty", "paint over what is to be redrawn, or use img2img without a mask")
    size = Size(mask.shape[1], mask.shape[0])
    left, right = _widened(int(columns[0]), int(columns[-1]) + 1, padding, least, size.width)
    top, bottom = _widened(int(rows[0]), int(rows[-1]) + 1, padding, least, size.height)
    return Region.between(left, top, right, bottom)


def _widened(first: int, end: int, padding: int, least: int, side: int) -> tuple[int, int]:
    missing = max(2 * padding, least - (end - first))
    first -= (missing + 1) // 2
    end += missing // 2
    # What stands out on one side is given to the other.
    first, end = first - max(0, end - side), end - min(0, first)
    return max(0, first), min(side, end)


def composite(picture: Pixels, redrawn: Pixels, mask: Plane | None) -> Pixels:
    """`redrawn` where the mask is 1, `picture` where it is 0, to the last bit, and the mixture between."""
    if mask is None:
        return redrawn
    mixed = picture + mask[:, :, None] * (redrawn - picture)
    return np.where(mask[:, :, None] > 0, mixed, picture).astype(np.float32, copy=False)
