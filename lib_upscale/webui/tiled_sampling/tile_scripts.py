"""Which of the host's always-on scripts run for the picture and which for every tile, and how a tile's pixels are
taken from the host before it rounds them.

Scripts that work on the denoising (ControlNet and its kin) belong to the tiles; those that work on prompts or finished
pictures (ADetailer, postprocessing) to the picture.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.webui.host.scripts import empty_runner, overrides_hook
from lib_upscale.webui.tiled_sampling import controlnet_units as control_units

__all__ = ["check", "for_picture", "for_tiles", "is_denoising", "taken"]

_DENOISING_HOOKS = ("process_before_every_sampling", "on_mask_blend", "post_sample")
_PICTURE_HOOKS = ("postprocess_image", "postprocess_image_after_composite")
_DENOISING_NAMES = (
    "controlnet", "controlllite", "hypertile", "freeu", "dynamic_thresholding", "dynthres", "self_attention_guidance",
    "sag_", "pag", "perturbed", "kohya_hrfix", "ip_adapter", "ipadapter", "negpip", "regional", "forge_couple",
    "cd_tuner", "cdtuner", "latent_modifier", "neveroom", "stylealign", "skimmed_cfg", "cfg_",
)  # fmt: skip
"""What the files of such scripts are called that hook into the model from `process`."""
_LOCKSTEP_NAMES = ("tiled_diffusion", "tilediffusion", "tilevae", "tiled_vae", "multidiffusion")
"""Extensions that cut pictures into tiles themselves: for neither."""


def is_denoising(script: Any) -> bool:
    """Whether a script works on the denoising and thus on tiles."""
    if _is_named(script, _DENOISING_NAMES):
        return True
    return _overrides(script, _DENOISING_HOOKS) and not _overrides(script, _PICTURE_HOOKS)


def check(runner: Any, arguments: Any) -> None:
    """Raise `SettingsError` for a ControlNet whose units are of a kind that is not known."""
    for script in runner.alwayson_scripts if runner is not None and arguments else ():
        if _is_named(script, ("controlnet",)) and script.args_from is not None:
            control_units.check(arguments[script.args_from : script.args_to])


def for_picture(runner: Any) -> Any:
    """A copy of the host's runner with the scripts of the picture."""
    return _filtered(runner, lambda script: not is_denoising(script) and not _is_named(script, _LOCKSTEP_NAMES))


def for_tiles(runner: Any) -> Any:
    """A copy of the host's runner with the scripts of tiles, which keeps the pixels of the last batch for `taken`."""
    copied = _filtered(runner, lambda script: is_denoising(script) and not _is_named(script, _LOCKSTEP_NAMES))
    original = type(copied).postprocess_batch_list

    def postprocess_batch_list(p: Any, pp: Any, *arguments: Any, **named: Any) -> Any:
        result = original(copied, p, pp, *arguments, **named)
        copied.upscale_plus_taken = [
            np.ascontiguousarray(np.moveaxis(image.detach().float().cpu().numpy(), 0, 2)) for image in pp.images
        ]
        return result

    copied.postprocess_batch_list = postprocess_batch_list
    copied.upscale_plus_taken = None
    return copied


def taken(runner: Any) -> list[Pixels] | None:
    """The pixels of the batch that was painted last, each (height, width, 3), 0 to 1; None if it was not finished."""
    pixels: list[Pixels] | None = runner.upscale_plus_taken
    runner.upscale_plus_taken = None
    return pixels


def _filtered(runner: Any, wanted: Any) -> Any:
    if runner is None:
        runner = empty_runner()
    copied = copy.copy(runner)
    copied.alwayson_scripts = [script for script in runner.alwayson_scripts if wanted(script)]
    copied.selectable_scripts = []
    copied.callback_map = {}  # the host remembers there which scripts run: the copies must not share it
    return copied


def _is_named(script: Any, names: tuple[str, ...]) -> bool:
    file = Path(str(getattr(script, "filename", "") or ""))
    words = f"{file.parent.parent.name}/{file.name}".lower().replace("-", "_")
    return any(name in words for name in names)


def _overrides(script: Any, hooks: tuple[str, ...]) -> bool:
    return overrides_hook(script, hooks)
