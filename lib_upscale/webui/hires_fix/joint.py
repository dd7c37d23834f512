"""Hires fix's second pass by the joint method: the host's own pass, its model and VAE called tile by tile.

So prompts, networks, latent upscalers, refiner, scripts and batches are the host's, with nothing redone here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor
from torch.nn import functional as F

from lib_upscale.redrawing.latent import joint_grid, joint_settings
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix.first_pass import FirstPass
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model, environment, jobs
from lib_upscale.webui.host.jobs import TwoPasses
from lib_upscale.webui.host.model import uncircular
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.processing import encoding_module
from lib_upscale.webui.host.protocols import HostTxt2Img
from lib_upscale.webui.host.sampling import count_evaluations
from lib_upscale.webui.tiled_sampling import controlnet_units
from lib_upscale.webui.tiled_sampling.joint.run import JointRun
from lib_upscale.webui.tiled_sampling.preview import small_previews
from lib_upscale.webui.tiled_sampling.stopwatch import Call, TimedCall
from lib_upscale.webui.upscalers import timings

__all__ = ["second_pass_joint"]


def second_pass_joint(
    p: HostTxt2Img,
    settings: RedrawSettings,
    size: HiresSize,
    first: FirstPass,
    passes: TwoPasses,
    host_pass: Callable[..., Sequence[Tensor]],
) -> list[Tensor]:
    """The second pass by the joint method.

    Args:
        p: The host's parameters, whose first pass is done.
        settings: Those of the section.
        size: Where hires fix is going.
        first: The first pass.
        passes: The bar.
        host_pass: The host's own second pass.

    Returns:
        Images (3, height, width), -1 to 1, of `size.canvas`.
    """
    sides = base_model.sides_of(getattr(p.hr_checkpoint_info, "name", None))
    # Forge hands over what ControlNet has made of the whole latent, down to an eighth of its side.
    is_aligned = controlnet_units.has_enabled(p.script_args_value or ())
    joint = joint_settings(size.canvas, settings, **sides._asdict(), seed=int(p.seeds[0]), is_aligned=is_aligned)
    state, began, enlarging = environment.state(), time.perf_counter(), timings.enlarging_seconds()
    batch = f"image {passes.number + 1} of {passes.count}, " if passes.count > 1 else ""
    state.textinfo = f"{batch}upscaling"

    def show_step(step: int, steps: int) -> None:
        state.textinfo = f"{batch}all tiles together, step {step} of {steps}"

    run = JointRun.of(size.canvas, settings, joint, jobs.stop_requested, show_step)
    with passes.sampled_by_host(), small_previews(), uncircular(p), _padded(p, size), run.vae(), _bound(p, run):
        images = first.continue_with(host_pass)
    if not run.is_bound:
        p.comment("Hires fix plus could not reach this sampler's model: the image was redrawn in one piece.")
    else:
        rest = time.perf_counter() - began - (timings.enlarging_seconds() - enlarging)
        _record(p, run, len(images), rest)
    return images


def _record(p: HostTxt2Img, run: JointRun, images: int, seconds: float) -> None:
    """Remember what the pass took besides enlarging."""
    columns, rows, tile = joint_grid(run.canvas, run.work.settings)
    call = Call(
        RedrawMethod.JOINT.value,
        images * columns * rows * tile.pixels,
        images * run.canvas.pixels,
        count_evaluations(run.work.sampler, p.hr_second_pass_steps or p.steps),
        controlnet_units.count_enabled(controlnet_units.of_second_pass(p.script_args_value or ())),
    )
    checkpoint = base_model.selected_name(getattr(p.hr_checkpoint_info, "name", None))
    timed = TimedCall(call, run.work.seconds, max(0.0, seconds - run.work.seconds))
    timings.record_calls(checkpoint, [timed])


@contextmanager
def _bound(p: HostTxt2Img, run: JointRun) -> Iterator[None]:
    """Bind the sampler once the host has made it and the networks of the second prompt are in place."""
    original = p.calculate_hr_conds

    def calculate_hr_conds() -> None:
        original()
        if p.is_hr_pass and p.sampler is not None:
            run.bind(p)

    with replaced(p, "calculate_hr_conds", calculate_hr_conds):
        yield


@contextmanager
def _padded(p: HostTxt2Img, size: HiresSize) -> Iterator[None]:
    """Sides that are no multiple of 8 (or 16) are filled up by reflection, and a latent grows to that size.

    The host would leave the last pixels out.
    """
    whole = size.filled
    with ExitStack() as stack:
        if whole == size.enlarged:
            pass
        elif p.latent_scale_mode is not None:
            stack.enter_context(replaced(p, "hr_upscale_to_x", whole.width))
            stack.enter_context(replaced(p, "hr_upscale_to_y", whole.height))
        else:
            # Not in the encoder itself: Forge has made room for the latent, and reForge has cut the image, before it.
            # Twice: TAESD is not the model's, and an inpainting model encodes a second time.
            for owner, name in ((p.sd_model, "encode_first_stage"), (encoding_module(), "images_tensor_to_samples")):
                stack.enter_context(replaced(owner, name, _of_padded(getattr(owner, name), size.multiple)))
        yield


def _of_padded(encode: Callable[..., object], multiple: int) -> Callable[..., object]:
    def encode_padded(images: Tensor, *arguments: object, **named: object) -> object:
        return encode(_reflect_pad(images, multiple), *arguments, **named)

    return encode_padded


def _reflect_pad(pixels: Tensor, multiple: int) -> Tensor:
    down, across = (-side % multiple for side in pixels.shape[2:])
    if not (down or across):
        return pixels
    mode = "reflect" if min(pixels.shape[2:]) > multiple else "replicate"
    return F.pad(pixels, (0, across, 0, down), mode=mode)
