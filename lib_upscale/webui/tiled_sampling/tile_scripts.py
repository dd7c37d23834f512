"""Which of the host's always-on scripts run for the image and which for every tile.

Scripts that work on the denoising (ControlNet and its kin) belong to the tiles; those that work on prompts or finished
images (ADetailer, postprocessing) to the image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lib_upscale.redrawing.tiles import Pixels
from lib_upscale.webui.host.protocols import HostBatch, HostScript, HostScriptRunner
from lib_upscale.webui.host.scripts import empty_runner, overrides_hook
from lib_upscale.webui.tiled_sampling import controlnet_units

__all__ = ["TileScripts", "check_scripts", "is_denoising", "scripts_of_image", "uses_soft_inpainting"]

_DENOISING_HOOKS = ("process_before_every_sampling", "on_mask_blend", "post_sample")
_IMAGE_HOOKS = ("postprocess_image", "postprocess_image_after_composite")
_DENOISING_NAMES = (
    "controlnet",
    "controlllite",
    "hypertile",
    "freeu",
    "dynamic_thresholding",
    "dynthres",
    "self_attention_guidance",
    "sag_",
    "pag",
    "perturbed",
    "kohya_hrfix",
    "ip_adapter",
    "ipadapter",
    "negpip",
    "regional",
    "forge_couple",
    "cd_tuner",
    "cdtuner",
    "latent_modifier",
    "neveroom",
    "stylealign",
    "skimmed_cfg",
    "cfg_",
)
"""What the files of such scripts are called that hook into the model from `process`."""
_SOFT_INPAINTING = ("soft_inpainting",)
_NEITHER_NAMES = ("tiled_diffusion", "tilediffusion", "tilevae", "tiled_vae", "multidiffusion", *_SOFT_INPAINTING)
"""Scripts that run for neither: those that cut images into tiles themselves, and what does to a mask what is done here
already."""


def is_denoising(script: HostScript) -> bool:
    """Whether a script works on the denoising and thus on tiles."""
    if _is_named(script, _DENOISING_NAMES):
        return True
    return overrides_hook(script, _DENOISING_HOOKS) and not overrides_hook(script, _IMAGE_HOOKS)


def check_scripts(runner: HostScriptRunner | None, arguments: Sequence[object] | None) -> None:
    """Check that every script can be run for tiles.

    Args:
        runner: The image's scripts.
        arguments: Their arguments, of which each has a part.

    Raises:
        SettingsError: For a ControlNet whose units are of a kind that is not known.
    """
    for script in runner.alwayson_scripts if runner is not None and arguments else ():
        if _is_named(script, ("controlnet",)) and script.args_from is not None and arguments:
            controlnet_units.check(arguments[script.args_from : script.args_to])


def uses_soft_inpainting(runner: HostScriptRunner | None, arguments: Sequence[object] | None) -> bool:
    """Whether the host's soft inpainting is on.

    Args:
        runner: The image's scripts.
        arguments: Their arguments, of which each has a part.
    """
    scripts = runner.alwayson_scripts if runner is not None and arguments else []
    found = [script for script in scripts if _is_named(script, _SOFT_INPAINTING)]
    return any(script.args_from is not None and arguments and arguments[script.args_from] for script in found)


def scripts_of_image(runner: HostScriptRunner | None) -> HostScriptRunner:
    """A copy of the host's runner with the scripts that run once for the image."""
    return _filter(runner, lambda script: not is_denoising(script))


class TileScripts:
    """The scripts that run for every tile, and the pixels of a batch before the host rounds them."""

    def __init__(self, runner: HostScriptRunner | None) -> None:
        self.runner = _filter(runner, is_denoising)
        """A copy of the host's runner with the scripts of tiles."""
        self._pixels: list[Pixels] | None = None
        original = type(self.runner).postprocess_batch_list

        def postprocess_batch_list(p: object, pp: HostBatch, *arguments: object, **named: object) -> object:
            result = original(self.runner, p, pp, *arguments, **named)
            self._pixels = [
                np.ascontiguousarray(np.moveaxis(image.detach().float().cpu().numpy(), 0, 2)) for image in pp.images
            ]
            return result

        self.runner.postprocess_batch_list = postprocess_batch_list

    def take_pixels(self) -> list[Pixels] | None:
        """The pixels of the last batch, once.

        Returns:
            (height, width, 3) each, 0 to 1; None if the batch was not finished.
        """
        pixels, self._pixels = self._pixels, None
        return pixels


def _filter(runner: HostScriptRunner | None, is_wanted: Callable[[HostScript], bool]) -> HostScriptRunner:
    if runner is None:
        runner = empty_runner()
    copied = copy.copy(runner)
    scripts = [script for script in runner.alwayson_scripts if not _is_named(script, _NEITHER_NAMES)]
    copied.alwayson_scripts = [script for script in scripts if is_wanted(script)]
    copied.selectable_scripts = []
    copied.callback_map = {}  # the host remembers there which scripts run: the copies must not share it
    return copied


def _is_named(script: HostScript, names: tuple[str, ...]) -> bool:
    file = Path(str(getattr(script, "filename", "") or ""))
    words = f"{file.parent.parent.name}/{file.name}".lower().replace("-", "_")
    return any(name in words for name in names)
