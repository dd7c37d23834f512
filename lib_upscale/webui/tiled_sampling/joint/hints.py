"""ControlNet's hints under the joint method: cut, as tensors, to the tiles that the UNet is called with.

sd-webui-controlnet keeps one hint for the whole image and reads it within the UNet's `forward`. No ControlNet is
imported: what has `latest_network.control_params` is one. Forge's hands its results over, which are cut elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lib_upscale.redrawing.latent import LatentTile
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.tiled_sampling.controlnet_hints import pad_hint

__all__ = ["cropped_hints"]

_Crop = Callable[[Tensor], Tensor]


@contextmanager
def cropped_hints(p: object, tiles: Sequence[LatentTile], crop: _Crop) -> Iterator[None]:
    """ControlNet has hints for these tiles while this lasts.

    Args:
        p: The host's parameters, whose scripts are asked for a ControlNet.
        tiles: The tiles of a batch.
        crop: Cuts a tensor for the whole image to them.
    """
    if tiles[0].is_whole:
        yield
        return
    with ExitStack() as stack:
        for params in _control_params(p):
            for owner, name, value in _changes(params, tiles, crop):
                stack.enter_context(replaced(owner, name, value))
        yield


def _control_params(p: object) -> Iterator[Any]:
    runner = getattr(p, "scripts", None)
    for script in getattr(runner, "alwayson_scripts", None) or []:
        network = getattr(script, "latest_network", None)
        yield from getattr(network, "control_params", None) or []


def _changes(params: Any, tiles: Sequence[LatentTile], crop: _Crop) -> Iterator[tuple[object, str, object]]:
    """What is another value for tiles: (owner, attribute, value)."""
    tile = tiles[0]
    hint = _whole_hint(params, tile)
    if hint is None:
        return
    if _shows_whole(params):
        size = (tile.region.height * LATENT, tile.region.width * LATENT)
        part = F.interpolate(hint, size=size, mode="bilinear", antialias=True)
    else:
        # One row where that is enough: the host repeats it for its batch itself, T2I adapters' even where it need not.
        part = tile.crop(hint) if len(tiles) == len(hint) == 1 else crop(hint)
    # Both: it tells the passes of hires fix apart by which hint's size is nearer to that of the latent.
    yield params, "hint_cond", part
    if isinstance(getattr(params, "hr_hint_cond", None), Tensor):
        yield params, "hr_hint_cond", part
    mask = getattr(params, "effective_region_mask", None)
    if isinstance(mask, Tensor):
        canvas = (tile.canvas.height * LATENT, tile.canvas.width * LATENT)
        yield params, "effective_region_mask", crop(F.interpolate(mask, size=canvas, mode="bilinear"))
    model = getattr(params, "control_model", None)
    if "control" in getattr(model, "__dict__", ()):  # a T2I adapter keeps what it has made of its first hint
        yield model, "control", None
    for layer in _lite_layers(model):
        yield layer, "cond_image", part * 2 - 1
        yield layer, "cond_emb", None


def _whole_hint(params: object, tile: LatentTile) -> Tensor | None:
    """The hint for the whole image; None for what has no place in it, such as an image prompt."""
    for name in ("hr_hint_cond", "hint_cond"):
        hint = getattr(params, name, None)
        if isinstance(hint, Tensor) and hint.dim() == 4:
            padded = pad_hint(hint, tile.canvas.scaled(LATENT))
            if tile.crop(padded) is not padded:
                return padded
    return None


def _shows_whole(params: object) -> bool:
    """Whether the hint is a reference or a style: no map of the image."""
    kind = getattr(getattr(params, "control_model_type", None), "name", "")
    return kind == "AttentionInjection" or bool(getattr(params, "global_average_pooling", False))


def _lite_layers(model: object) -> list[torch.nn.Module]:
    """The layers of a ControlLLLite, each of which keeps the hint."""
    layers = getattr(model, "modules", None)  # a dictionary there
    found = layers.values() if isinstance(layers, dict) else ()
    return [layer for layer in found if hasattr(layer, "cond_image") and hasattr(layer, "cond_emb")]
