"""Crop a tile out of an image and pad what lies beyond its right and bottom border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size

__all__ = ["crop_tile"]


def crop_tile(pixels: NDArray[Any], source: Region, tile_size: Size) -> NDArray[Any]:
    """Crop `source`, and pad it to `tile_size`.

    The padding is on the right and at the bottom only: by reflection, and where the source is too small to be
    reflected that far, by repeating its last row or column.

    Args:
        pixels: Height x width x channels, of any type.
        source: Inside the image, not larger than `tile_size`.
        tile_size: The size of the network's input.

    Returns:
        `tile_size` x channels; a view where nothing is padded.
    """
    tile = pixels[source.rows, source.columns]
    missing = (tile_size.height - source.height, tile_size.width - source.width)
    if not any(missing):
        return tile
    reflected = [min(pad, side - 1) for pad, side in zip(missing, tile.shape, strict=False)]
    tile = np.pad(tile, [(0, reflected[0]), (0, reflected[1]), (0, 0)], mode="reflect")
    rest = [pad - done for pad, done in zip(missing, reflected, strict=True)]
    return np.pad(tile, [(0, rest[0]), (0, rest[1]), (0, 0)], mode="edge") if any(rest) else tile
