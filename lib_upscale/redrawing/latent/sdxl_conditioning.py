"""What SDXL is told of a crop's size and place, rewritten for a tile of a larger picture.

SDXL's vector conditioning ends with numbers as sinusoids (Podell et al. 2023, "micro-conditioning"): the original
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
_EACH = 256
"""Numbers that one size or place becomes."""
_CROP = _POOLED + 2 * _EACH
_TARGET = _CROP + 2 * _EACH
_BASE = _TARGET + 2 * _EACH
_REFINER = _TARGET + _EACH


def with_tile_coordinates(vector: Tensor, region: Region) -> Tensor:
    """`vector` (rows, numbers) with the crop's place, and its size where the base model is told one, those of a tile.

    `region` is in pixels of the picture. A vector of another length than SDXL's base model (2816 numbers) and refiner
    (2560) take is given back as it is.
    """
    if vector.dim() != 2 or vector.shape[1] not in (_BASE, _REFINER):
        return vector
    told = vector.clone()
    told[:, _CROP:_TARGET] = _sinusoids(region.y, region.x).to(vector)
    if vector.shape[1] == _BASE:
        told[:, _TARGET:] = _sinusoids(region.height, region.width).to(vector)
    return told


def _sinusoids(*values: int) -> Tensor:
    """Each value as 256 numbers: cosines, then sines, of frequencies from 1 down to 1/10000 (Vaswani et al. 2017)."""
    half = _EACH // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = [float(value) * frequencies for value in values]
    return torch.cat([torch.cat([angle.cos(), angle.sin()]) for angle in angles])
