"""Measures the detail of a tile: flat ones can be skipped, soft ones redrawn less."""

from __future__ import annotations

import numpy as np

from lib_upscale.redrawing.tiles.filters import Pixels, Plane, luma
from lib_upscale.settings.redraw import RedrawSettings

__all__ = ["detail_of_plane", "is_flat", "measure_detail", "tile_strength"]

_BLOCK = 8
"""Side of a block in pixels."""
_SHARE = 0.02
"""Of the blocks, those with most detail, that count: a bird in the sky must keep its tile from being skipped. Set by
hand; held by the test of one small thing in the sky."""
_FULL = 24.0
"""Levels of 255 from which on a tile counts as fully detailed. Set by hand, no benchmark measures it."""


def measure_detail(pixels: Pixels) -> float:
    """Measure the detail of a tile, (height, width, 3), 0..1: the standard deviation of brightness within blocks.

    It is the mean over the fiftieth part of the blocks of 8x8 pixels that have most, not over all: what is small
    counts, too.

    Returns:
        Levels of 255.
    """
    return detail_of_plane(luma(pixels))


def detail_of_plane(brightness: Plane) -> float:
    """Measure the same of a tile's brightness alone, (height, width), 0..1."""
    plane = brightness * 255
    height, width = plane.shape
    rows, columns = max(1, height // _BLOCK), max(1, width // _BLOCK)
    block_height, block_width = min(_BLOCK, height), min(_BLOCK, width)
    covered = plane[: rows * block_height, : columns * block_width]
    blocks = covered.reshape(rows, block_height, columns, block_width)
    deviations = np.sort(blocks.std(axis=(1, 3)), axis=None)
    return float(deviations[-max(1, round(_SHARE * deviations.size)) :].mean())


def is_flat(amount: float, settings: RedrawSettings) -> bool:
    """Say whether a tile of that detail is left as it is."""
    return amount < settings.skip_flat


def tile_strength(amount: float, strength: float, settings: RedrawSettings) -> float:
    """Choose the denoising strength of a tile by its detail, from `settings.flat_strength` to `strength`, linearly."""
    if settings.flat_strength is None:
        return strength
    share = min(amount / _FULL, 1.0)
    return settings.flat_strength + (strength - settings.flat_strength) * share
