"""Which of the host's always-on scripts run for the image and which for every tile.

Scripts that work on the denoising (ControlNet and its kin) belong to the tiles; those that work on prompts or finished
images (ADetailer, postprocessing) to the image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lib_upscale.errors import SettingsError
from lib_upscale.redrawing.tiles import Pixels
from lib_upscale.webui.host.protocols import HostBatch, HostProcessing, HostScript, HostScriptRunner
from lib_upscale.webui.host.scripts import empty_runner, overrides_hook
from lib_upscale.webui.tiled_sampling import controlnet_hints, controlnet_units

__all__ = [
    "TileScripts",
    "arguments_of_image",
    "check_scripts",
    "image_resumes",
    "is_denoising",
    "scripts_of_image",
    "uses_soft_inpainting",
]

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
_CONTROLNET = ("controlnet",)
_LAYOUTS = ("regional_prompter", "forge_couple")
"""Scripts that divide what is drawn: their first argument switches them on."""
_WHOLE_LATENT = ("forge_sag",)
"""Scripts that know the latent's size and not the tile's, in the same way."""
_SOFT_INPAINTING = ("soft_inpainting",)
_NEITHER_NAMES = ("tiled_diffusion", "tilediffusion", "tilevae", "tiled_vae", "multidiffusion", *_SOFT_INPAINTING)
"""Scripts that run for neither: those that cut images into tiles themselves, and what does to a mask what is done here
already."""


def is_denoising(script: HostScript) -> bool:
    """Whether a script works on the denoising and thus on tiles."""
    if _is_named(script, _DENOISING_NAMES):
        return True
    return overrides_hook(script, _DENOISING_HOOKS) and not overrides_hook(script, _IMAGE_HOOKS)


def check_scripts(
    runner: HostScriptRunner | None,
    arguments: Sequence[object] | None,
    *,
    is_joint: bool = False,
    is_hosts_pass: bool = False,
) -> None:
    """Check that every script can be run for tiles.

    Args:
        runner: The image's scripts.
        arguments: Their arguments, of which each has a part.
        is_joint: Whether tiles are denoised together.
        is_hosts_pass: Whether the generation around that is the host's own, not one that is made for the tiles.

    Raises:
        SettingsError: For what would be wrong in every tile, or can't be cut to tiles.
    """
    for script in runner.alwayson_scripts if runner is not None else ():
        if not arguments or script.args_from is None:
            continue
        own = arguments[script.args_from : script.args_to]
        if _is_named(script, _CONTROLNET):
            if not is_hosts_pass:
                controlnet_units.check(own, makes_hints=controlnet_hints.makes_hints(script))
            if is_joint:
                controlnet_units.check_joint(own, is_forge=controlnet_hints.is_forge(script))
        elif own and own[0] is True and _is_named(script, (*_LAYOUTS, *_WHOLE_LATENT * is_joint)):
            raise SettingsError(
                f"{_title(script)} takes every tile for the whole image, so that its result would be wrong",
                "switch it off; the setting Regions gives parts of the image prompts of their own"
                if _is_named(script, _LAYOUTS)
                else "switch it off, or choose the method tiles",
            )


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
    """A copy of the host's runner with the scripts that run once for the image.

    ControlNet is one of them, with `arguments_of_image`: scripts that redraw parts of the image ask it.
    """
    return _filter(runner, lambda script: not is_denoising(script) or _is_named(script, _CONTROLNET))


def arguments_of_image(runner: HostScriptRunner | None, arguments: Sequence[object] | None) -> Sequence[object] | None:
    """The scripts' arguments for the image itself: ControlNet's units are the tiles'."""
    if not arguments:
        return arguments
    changed = list(arguments)
    for script in runner.alwayson_scripts if runner is not None else ():
        if _is_named(script, _CONTROLNET) and script.args_from is not None:
            part = slice(script.args_from, script.args_to)
            changed[part] = controlnet_units.switched_off(changed[part])
    return changed


@contextmanager
def image_resumes(p: HostProcessing) -> Iterator[None]:
    """Scripts that run for tiles while this lasts begin anew for the image afterwards.

    The host calls them once for all images of a batch count, and they keep what they have made then.
    """
    try:
        yield
    finally:
        shown = getattr(p, "extra_result_images", None)
        before = list(shown or ())
        _filter(p.scripts_value, is_denoising).process(p)
        if shown is not None:
            shown[:] = before  # ControlNet of the Forge family shows its maps once more


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


def _title(script: HostScript) -> str:
    title = getattr(script, "title", None)
    return str(title()) if callable(title) else type(script).__name__
