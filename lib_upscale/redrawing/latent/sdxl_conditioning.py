"""Rewrites SDXL's conditioning on a crop's size and place for a tile of a larger picture.

Source: Podell et al. 2023, "micro-conditioning". The vector ends with numbers as sinusoids: the original
height and width, the crop's top and left, and the target's height and width (the refiner: an aesthetic score instead).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lib_upscale.image.geometry import Region

__all__ = ["with_tile_coordinates"]

_POOLED = 1280
"""Numbers of the pooled text before the sinusoids."""
_ENCODED = 256
"""Numbers that one size or place becomes."""
_CROP = _POOLED + 2 * _ENCODED
_TARGET = _CROP + 2 * _ENCODED
_BASE = _TARGET + 2 * _ENCODED
_REFINER = _TARGET + _ENCODED


def with_tile_coordinates(vector: Tensor, region: Region) -> Tensor:
    """Set the crop's place, and its size where the model takes one, to those of a tile.

    Args:
        vector: (rows, numbers). One of another length than SDXL's base model (2816 numbers) and refiner (2560) take
            is returned as it is.
        region: The tile, in pixels of the picture.

    Returns:
        A new vector of the same shape.
    """
    if vector.dim() != 2 or vector.shape[1] not in (_BASE, _REFINER):
        return vector
    result = vector.clone()
    result[:, _CROP:_TARGET] = _sinusoids(region.y, region.x).to(vector)
    if vector.shape[1] == _BASE:
        result[:, _TARGET:] = _sinusoids(region.height, region.width).to(vector)
    return result


def _sinusoids(*values: int) -> Tensor:
    """Encode each value as 256 numbers: cosines, then sines, of frequencies from 1 to 1/10000 (Vaswani et al. 2017)."""
    half = _ENCODED // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = [float(value) * frequencies for value in values]
    return torch.cat([torch.cat([angle.cos(), angle.sin()]) for angle in angles])
