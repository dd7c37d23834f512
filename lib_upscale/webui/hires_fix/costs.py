"""What the two passes of hires fix cost: for the time that is told, and for the bar."""

from __future__ import annotations

from dataclasses import replace

from lib_upscale.errors import UpscalePlusError
from lib_upscale.redrawing import PassPlan, plan_redraw
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model
from lib_upscale.webui.host.protocols import HostTxt2Img
from lib_upscale.webui.host.sampling import count_evaluations
from lib_upscale.webui.tiled_sampling.controlnet_units import count_enabled, of_second_pass
from lib_upscale.webui.tiled_sampling.stopwatch import Call
from lib_upscale.webui.upscalers import timings

__all__ = ["calls_of_batch", "share_of_first_pass", "tiles_settings"]

_LEAST = 0.02
"""Of the bar for either pass: nothing is known so well that a pass can be shown as none."""


def tiles_settings(settings: RedrawSettings) -> RedrawSettings:
    """The same settings for an image that has hires fix's size already."""
    return settings.changed(scale=1.0)


def calls_of_batch(
    step: PassPlan, evaluations: int, settings: RedrawSettings, images: int, units: int
) -> tuple[Call, float]:
    """What the host is called with for the second pass of a batch, and how often.

    Args:
        step: The pass of one image.
        evaluations: How often the UNet is run for a tile.
        settings: Those of the section.
        images: How many are in the batch.
        units: ControlNet units that are on.
    """
    call, count = timings.calls_of_pass(step, evaluations, settings.batch_size, units=units)
    if step.joint is None:
        return call, count * images
    return replace(call, unet_pixels=call.unet_pixels * images, pixels=call.pixels * images), count


def share_of_first_pass(p: HostTxt2Img, settings: RedrawSettings) -> float:
    """The share of the first pass in the work of both, 0 to 1: by what earlier ones took, else by steps and pixels.

    Args:
        p: The host's parameters, after their `init`.
        settings: Those of the section.
    """
    if getattr(p, "firstpass_image", None) is not None:  # an image of the gallery is enlarged: there is none
        return 0.0
    name = getattr(p.hr_checkpoint_info, "name", None)
    sides, images = base_model.sides_of(name), max(1, int(p.batch_size or 1))
    size = HiresSize.of(p, sides.multiple)
    is_joint = settings.method is RedrawMethod.JOINT
    try:
        canvas = size.canvas if is_joint else size.final
        plan = plan_redraw(canvas, tiles_settings(settings), **sides._asdict(), strength=1.0)
    except UpscalePlusError:  # the second pass will say so
        return 0.5
    steps = count_evaluations(p.hr_sampler_name or p.sampler_name, p.hr_second_pass_steps or p.steps)
    arguments = p.script_args_value or ()
    units = count_enabled(of_second_pass(arguments))
    second, count = calls_of_batch(plan.passes[-1], steps, settings, images, units)
    pixels, steps = int(p.width) * int(p.height) * images, count_evaluations(p.sampler_name, p.steps)
    first = Call(settings.method.value, pixels, pixels, steps, count_enabled(arguments))
    return _share(
        (base_model.selected_name(p.override_settings.get("sd_model_checkpoint")), first, 1.0),
        (base_model.selected_name(name), second, count),
    )


def _share(first: tuple[str, Call, float], second: tuple[str, Call, float]) -> float:
    known = [timings.estimate_calls(name, [(call, count)]) for name, call, count in (first, second)]
    works = [time.middle for time in known if time is not None]
    if len(works) < len(known):
        works = [call.steps * call.unet_pixels * count for _, call, count in (first, second)]
    return min(1 - _LEAST, max(_LEAST, works[0] / max(1e-9, sum(works))))
