"""How long a redraw of an img2img image is going to take, from what earlier ones took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from lib_upscale.estimate import NOTHING, Estimate
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import RedrawPlan
from lib_upscale.webui.tiled_sampling.samplers import img2img_evaluations
from lib_upscale.webui.upscalers import timings
from lib_upscale.webui.upscalers.enlarger import estimate_enlarging

__all__ = ["describe_time"]


def describe_time(
    plan: RedrawPlan,
    *,
    checkpoint: str,
    sampler: str | None,
    steps: int,
    upscaler: str,
    images: int,
    batch_size: int,
    painted: Sequence[float],
    units: int,
    is_test: bool,
    is_mask_unknown: bool,
) -> str:
    """Say about how long a run takes: enlarging, the tiles that are redrawn, and what each image costs besides.

    Args:
        plan: Of one image.
        checkpoint: The name of the Stable Diffusion model.
        sampler: Its sampler's name.
        steps: Sampling steps as set on the page.
        upscaler: As the host lists it.
        images: Batch count.
        batch_size: Tiles at a time.
        painted: Tiles that will be painted in each pass, unless it is a test.
        units: ControlNet units that are on.
        is_test: Only one tile of each pass is redrawn, of one image.
        is_mask_unknown: Fewer may be redrawn, by a mask that is not known here.

    Returns:
        "" where that checkpoint was never used with that method and as many units here.
    """
    calls = [
        timings.calls_of_pass(
            step,
            img2img_evaluations(sampler, steps, step.strength),
            batch_size,
            1.0 if is_test else tiles,
            units,
        )
        for step, tiles in zip(plan.passes, painted, strict=True)
    ]
    images = 1 if is_test else images
    painting = timings.estimate_calls(checkpoint, [(call, count * images) for call, count in calls])
    if painting is None:
        return ""
    rest = timings.estimate_image(plan.output.pixels) or NOTHING
    enlarging = _enlarging(plan, upscaler, images)
    text = (painting + rest * images + (enlarging or NOTHING)).describe()
    if is_mask_unknown and not is_test:
        text = f"{text} if everything is masked, less for a part"
    return text if enlarging is not None else f"{text} and the upscaling"


def _enlarging(plan: RedrawPlan, upscaler: str, images: int) -> Estimate | None:
    times = [estimate_enlarging(upscaler, source, size) for source, size in _enlargements(plan)]
    known = [time for time in times if time is not None]
    # The enlarged image of a single pass is kept for the next image.
    return sum(known, NOTHING) * (images if len(times) > 1 else 1) if len(known) == len(times) else None


def _enlargements(plan: RedrawPlan) -> Iterator[tuple[Size, Size]]:
    """From which to which size the image is enlarged: before each pass, and after several to compare with."""
    yield plan.source, plan.passes[0].enlarged
    for before, step in pairwise(plan.passes):
        yield before.size, step.enlarged
    if len(plan.passes) > 1:
        yield plan.source, plan.passes[-1].enlarged
