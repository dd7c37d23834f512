"""ControlNet's hints under the joint method: cut, as tensors, to the tiles that the UNet is called with.

sd-webui-controlnet keeps one hint for the whole image and reads it within the UNet's `forward`. No ControlNet is
imported: what has `latest_network.control_params` is one. Forge's hands its results over, which are cut elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from lib_upscale.redrawing.latent import LatentTile
from lib_upscale.webui.host.patching import replaced

__all__ = ["cropped_hints"]


@contextmanager
def cropped_hints(p: object, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]) -> Iterator[None]:
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
            hint = _whole_hint(params, tiles[0])
            if hint is None:
                continue
            cropped = crop(hint)
            # Both: it tells the passes of hires fix apart by which hint's size is nearer to that of the latent.
            for name in ("hint_cond", "hr_hint_cond"):
                if name == "hint_cond" or isinstance(getattr(params, name, None), Tensor):
                    stack.enter_context(replaced(params, name, cropped))
        yield


def _control_params(p: object) -> Iterator[object]:
    runner = getattr(p, "scripts", None)
    for script in getattr(runner, "alwayson_scripts", None) or []:
        network = getattr(script, "latest_network", None)
        yield from getattr(network, "control_params", None) or []


def _whole_hint(params: object, tile: LatentTile) -> Tensor | None:
    """The hint for the whole image; None for what has no place in it, such as an image prompt."""
    for name in ("hr_hint_cond", "hint_cond"):
        hint = getattr(params, name, None)
        if isinstance(hint, Tensor) and hint.dim() == 4 and tile.crop(hint) is not hint:
            return hint
    return None
