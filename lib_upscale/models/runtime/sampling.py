"""Has networks that sample their features at computed places compute those places in float32, whatever they run in.

A place is a share of the image's side. In half precision such a share is off by a tenth of a pixel in a tile of 256
pixels, and in bfloat16 by a pixel: the result is jagged or worse, while the small trial of a precision goes well.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["place_exactly"]

_PARTS = ("scale", "groups", "end_convolution", "offset", "scope", "init_pos")


def place_exactly(network: torch.nn.Module) -> None:
    """Change the layers DySample and LDA-AQU of one network; in float32 they give what they gave before.

    Args:
        network: From spandrel or resselt, which have several copies of both layers.
    """
    for module in network.modules():
        layer: Any = module
        name = type(module).__name__
        if name == "DySample" and all(hasattr(module, part) for part in _PARTS):
            layer.forward = types.MethodType(_dysample, module)
        elif name == "LDA_AQU" and hasattr(module, "get_offset") and hasattr(module, "extract_feats"):
            layer.get_offset = types.MethodType(_get_offset, module)
            layer.extract_feats = types.MethodType(_extract_feats, module)


def _dysample(layer: Any, x: Tensor) -> Tensor:
    """The same steps as in the original. Source: https://github.com/tiny-smart/dysample"""
    offset = (layer.offset(x) * layer.scope(x).sigmoid() * 0.5 + layer.init_pos).float()
    batch, _, height, width = offset.shape
    offset = offset.view(batch, 2, -1, height, width)
    rows = torch.arange(height, device=x.device) + 0.5
    columns = torch.arange(width, device=x.device) + 0.5
    places = torch.stack(torch.meshgrid([columns, rows], indexing="ij")).transpose(1, 2).unsqueeze(1).unsqueeze(0)
    sides = torch.tensor([width, height], dtype=torch.float32, device=x.device).view(1, 2, 1, 1, 1)
    places = 2 * (places + offset) / sides - 1
    scaled = (layer.scale * height, layer.scale * width)
    places = functional.pixel_shuffle(places.reshape(batch, -1, height, width), layer.scale)
    places = places.view(batch, 2, -1, *scaled).permute(0, 2, 3, 4, 1).contiguous().flatten(0, 1)
    groups = x.float().reshape(batch * layer.groups, -1, height, width)
    sampled = functional.grid_sample(groups, places, mode="bilinear", align_corners=False, padding_mode="border")
    result = sampled.view(batch, -1, *scaled).to(x.dtype)
    return layer.end_conv(result) if layer.end_convolution else result  # type: ignore[no-any-return]


def _get_offset(layer: Any, offset: Tensor, height: int, width: int) -> Tensor:
    places: Tensor = type(layer).get_offset(layer, offset.float(), height, width)
    return places


def _extract_feats(layer: Any, x: Tensor, offset: Tensor, *args: Any, **options: Any) -> Tensor:
    features: Tensor = type(layer).extract_feats(layer, x.float(), offset, *args, **options)
    return features.to(x.dtype)
