"""Redrawing only a masked part: where its tiles lie, and compositing the result over the picture."""

from __future__ import annotations

import numpy as np

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles.filters import Pixels, Plane

__all__ = ["composite", "find_masked_region"]


def find_masked_region(mask: Plane, padding: int, least: int) -> Region:
    """Find the part of a picture that has to be tiled for a mask.

    A base model shown only a small spot does not see what it belongs to, so there is context around it.

    Args:
        mask: (height, width), above 0 where to redraw.
        padding: Pixels of context on each side.
        least: Pixels a side at least, as far as the picture goes.

    Raises:
        SettingsError: The mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise SettingsError("The mask is empty", "paint over what is to be redrawn, or use img2img without a mask")
    size = Size(mask.shape[1], mask.shape[0])
    left, right = _widen(int(columns[0]), int(columns[-1]) + 1, padding, least, size.width)
    top, bottom = _widen(int(rows[0]), int(rows[-1]) + 1, padding, least, size.height)
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
