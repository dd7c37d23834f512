"""Forecasts how many tiles will be skipped or left out, before anything is enlarged by the real upscaler."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.plan import PassPlan, RedrawPlan
from lib_upscale.redrawing.tiles.detail import detail_of_plane, is_flat
from lib_upscale.redrawing.tiles.filters import Plane, reflect_pad
from lib_upscale.redrawing.tiles.masks import Footprint
from lib_upscale.settings.redraw import RedrawSettings

__all__ = ["count_masked", "likely_skipped"]


def likely_skipped(brightness: Plane, plan: RedrawPlan) -> int:
    """Count the tiles of all passes that look flat when the source is enlarged by Lanczos.

    A model draws more detail than that, so fewer may be skipped.

    Args:
        brightness: The source's, (height, width), 0..1.
        plan: What is going to be done.
    """
    return sum(_flat_tiles(brightness, step, plan.settings) for step in plan.passes)


def count_masked(mask: Plane, plan: RedrawPlan) -> list[int]:
    """Count the tiles of each pass that a mask touches: the others are left as they are.

    Args:
        mask: (height, width) of the source or of a smaller copy, above 0 where to redraw; `plan` was made for it.
        plan: What is going to be done.
    """
    return [_masked_tiles(mask, step) for step in plan.passes]


def _masked_tiles(mask: Plane, step: PassPlan) -> int:
    footprint, shown = Footprint(mask, step.enlarged), step.shown
    regions = [_unreflected(tile.region, shown.size).moved(shown.x, shown.y) for tile in step.grid.tiles]
    return sum(footprint.touches(region) for region in regions)


def _unreflected(region: Region, size: Size) -> Region:
    """What a part of a canvas is made of, which is a picture of that size reflected at its right and at its bottom."""
    (left, right), (top, bottom) = (
        (min(first, max(0, 2 * side - 1 - end)), side) if end > side else (first, end)
        for first, end, side in ((region.x, region.right, size.width), (region.y, region.bottom, size.height))
    )
    return Region.between(left, top, right, bottom)


def _flat_tiles(brightness: Plane, step: PassPlan, settings: RedrawSettings) -> int:
    size = (step.enlarged.width, step.enlarged.height)
    enlarged: Plane = np.asarray(Image.fromarray(brightness).resize(size, Image.Resampling.LANCZOS), dtype=np.float32)
    canvas = reflect_pad(step.cut(enlarged), step.grid.canvas)
    regions = [tile.region for tile in step.grid.tiles]
    return sum(is_flat(detail_of_plane(canvas[region.rows, region.columns]), settings) for region in regions)
