"""Cutting a tile out of a picture, with the part beyond its right and bottom border made up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size

__all__ = ["cut"]


def cut(pixels: NDArray[Any], source: Region, tile_size: Size) -> NDArray[Any]:
    """The rows and columns of `source`, as large as `tile_size`.

    What is missing goes to the right and the bottom only: by reflection, and where the source is too
    small to be reflected that far, by repeating its last row or column.

    Args:
        pixels: height x width x channels, of any type.
        source: inside the picture, not larger than `tile_size`.
        tile_size: the size of the network's input.
    """
    tile = pixels[source.rows, source.columns]
    missing = (tile_size.height - source.height, tile_size.width - source.width)
    if not any(missing):
        return tile
    reflect_pad = [min(pad, side - 1) for pad, side in zip(missing, tile.shape, strict=False)]
    tile = np.pad(tile, [(0, reflect_pad[0]), (0, reflect_pad[1]), (0, 0)], mode="reflect")
    rest = [pad - done for pad, done in zip(missing, reflect_pad, strict=True)]
    return np.pad(tile, [(0, rest[0]), (0, rest[1]), (0, 0)], mode="edge") if any(rest) else tile
