"""Hires fix's second pass with all tiles in lockstep: the host's own pass, its model and VAE called tile by tile.

So prompts, networks, latent upscalers, refiner, scripts and batches are the host's, with nothing redone here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lib_upscale.redrawing.latent.joint_plan import joint_settings
from lib_upscale.redrawing.tiles.grid import LATENT
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model, jobs
from lib_upscale.webui.host.model import vae_network
from lib_upscale.webui.tiled_sampling import controlnet_units as control_units
from lib_upscale.webui.tiled_sampling.host_patches import small_previews
from lib_upscale.webui.tiled_sampling.joint.run import JointRun

__all__ = ["second_pass_joint"]


def second_pass_joint(
    p: Any, settings: RedrawSettings, size: HiresSize, original: Callable[..., Any], given: Sequence[Any]
) -> list[Tensor]:
    """Pictures (3, height, width), -1 to 1, of `size.canvas`. `original` is the host's pass, `given` its arguments."""
    native = base_model.native_side(getattr(p.hr_checkpoint_info, "name", None))
    # Forge hands over what ControlNet has made of the whole latent, down to an eighth of its side.
    is_aligned = control_units.has_enabled(p.script_args_value or ())
    joint = joint_settings(size.canvas, settings, native, int(p.seeds[0]), is_aligned=is_aligned)
    run = JointRun.of(size.canvas, settings, joint, jobs.stop_requested)
    with ExitStack() as stack:
        stack.enter_context(small_previews())
        stack.enter_context(_filled_up(p, size))
        stack.enter_context(run.vae())
        stack.enter_context(_bound(p, run))
        made = original(*given)
    if not run.is_bound:
        p.comment("Hires fix plus could not reach this sampler's model: the picture was redrawn in one piece.")
    return list(made)


@contextmanager
def _bound(p: Any, run: JointRun) -> Iterator[None]:
    """Bind the sampler once the host has made it and the networks of the second prompt are in place."""
    calculate = p.calculate_hr_conds

    def calculate_hr_conds() -> Any:
        result = calculate()
        if p.is_hr_pass and p.sampler is not None:
            run.bind(p, p.hr_second_pass_steps or p.steps)
        return result

    p.calculate_hr_conds = calculate_hr_conds
    try:
        yield
    finally:
        del p.calculate_hr_conds


@contextmanager
def _filled_up(p: Any, size: HiresSize) -> Iterator[None]:
    """Sides that are no multiple of 8 are filled up by reflection, and a latent grows to that size.

    The host would leave the last pixels out.
    """
    whole = size.enlarged.rounded_up(LATENT)
    if whole == size.enlarged:
        yield
        return
    if p.latent_scale_mode is not None:
        p.hr_upscale_to_x, p.hr_upscale_to_y = whole
        try:
            yield
        finally:
            p.hr_upscale_to_x, p.hr_upscale_to_y = size.enlarged
        return

    def filled(module: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _reflected(values[0]), *values[1:]

    handle = vae_network().encoder.register_forward_pre_hook(filled)
    try:
        yield
    finally:
        handle.remove()


def _reflected(pixels: Tensor) -> Tensor:
    down, across = (-side % LATENT for side in pixels.shape[2:])
    if not (down or across):
        return pixels
    mode = "reflect" if min(pixels.shape[2:]) > LATENT else "replicate"
    return F.pad(pixels, (0, across, 0, down), mode=mode)
