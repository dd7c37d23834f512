"""How much there is to redraw in a tile: flat ones can be skipped, soft ones redrawn less."""

from __future__ import annotations

import numpy as np

from lib_upscale.redrawing.tiles.filters import Pixels, Plane, luma
from lib_upscale.settings.redraw import RedrawSettings

__all__ = ["detail", "detail_of_plane", "is_flat", "tile_strength"]

_BLOCK = 8
_SHARE = 0.02  # of the blocks: a bird in the sky must keep its tile from being skipped
_FULL = 24.0
"""Levels of 255 from which on a tile counts as fully detailed."""


def detail(pixels: Pixels) -> float:
    """The detail of a tile in levels of 255: the standard deviation of brightness within blocks of 8x8 pixels.

    It is the mean over the fiftieth part of the blocks that have most, not over all: what is small counts, too.
    """
    return detail_of_plane(luma(pixels))


def detail_of_plane(brightness: Plane) -> float:
    """The same of a tile's brightness alone."""
    plane = brightness * 255
    height, width = plane.shape
    rows, columns = max(1, height // _BLOCK), max(1, width // _BLOCK)
    tall, wide = min(_BLOCK, height), min(_BLOCK, width)
    blocks = plane[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide)
    deviations = np.sort(blocks.std(axis=(1, 3)), axis=None)
    return float(deviations[-max(1, round(_SHARE * deviations.size)) :].mean())


def is_flat(amount: float, settings: RedrawSettings) -> bool:
    """Whether a tile of that detail is to be left as it is."""
    return amount < settings.skip_flat


def tile_strength(amount: float, strength: float, settings: RedrawSettings) -> float:
    """The denoising strength for a tile of that detail: from `settings.flat_strength` to `strength`, linearly."""
    if settings.flat_strength is None:
        return strength
    share = min(amount / _FULL, 1.0)
    return settings.flat_strength + (strength - settings.flat_strength) * share
