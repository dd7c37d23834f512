"""Borders around a result whose shape is not that of the size asked for."""

from __future__ import annotations

import numpy as np

from lib_upscale.image.geometry import Region
from lib_upscale.image.target import Layout
from lib_upscale.redrawing.tiles.filters import Pixels, gaussian

__all__ = ["pad_or_crop"]

_BLUR = 12.0


def pad_or_crop(pixels: Pixels, layout: Layout) -> Pixels:
    """`pixels` (height, width, 3) of the size `layout.scaled` with its edges drawn out and blurred to `layout.final`.

    What needs no borders is returned as it is.
    """
    if layout.offset is None:
        return pixels
    place = Region.whole(layout.scaled).moved(*layout.offset)
    before_and_after = [
        (place.y, layout.final.height - place.bottom),
        (place.x, layout.final.width - place.right),
        (0, 0),
    ]
    result = gaussian(np.pad(pixels, before_and_after, mode="edge"), _BLUR)
    result[place.rows, place.columns] = pixels
    return result
