"""ControlNet's hints under the joint method: as tensors, cut to the tiles that the UNet is just shown.

sd-webui-controlnet keeps one hint for the whole picture and reads it within the UNet's `forward`. No ControlNet is
imported: what has `latest_network.control_params` is one. Forge's hands its results over, which are cut elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from lib_upscale.redrawing.latent.joint_denoiser import LatentTile

__all__ = ["cropped_hints"]


@contextmanager
def cropped_hints(p: Any, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, ControlNet sees hints for these tiles; `crop` is what `Inner` is given."""
    if tiles[0].is_whole:
        yield
        return
    changed = []
    try:
        for params in _params(p):
            whole = _whole(params, tiles[0])
            if whole is None:
                continue
            changed.append((params, params.hint_cond, getattr(params, "hr_hint_cond", None)))
            cut = crop(whole)
            # Both: it tells the passes of hires fix apart by which hint's size is nearer to that of the latent.
            params.hint_cond = cut
            if isinstance(getattr(params, "hr_hint_cond", None), Tensor):
                params.hr_hint_cond = cut
        yield
    finally:
        for params, hint, second in changed:
            params.hint_cond = hint
            if hasattr(params, "hr_hint_cond"):
                params.hr_hint_cond = second


def _params(p: Any) -> Iterator[Any]:
    runner = getattr(p, "scripts", None)
    for script in getattr(runner, "alwayson_scripts", None) or []:
        network = getattr(script, "latest_network", None)
        yield from getattr(network, "control_params", None) or []


def _whole(params: Any, tile: LatentTile) -> Tensor | None:
    """The hint for this picture; None for what has no place in it, such as an image prompt."""
    for name in ("hr_hint_cond", "hint_cond"):
        hint = getattr(params, name, None)
        if isinstance(hint, Tensor) and hint.dim() == 4 and tile.crop(hint) is not hint:
            return hint
    return None
