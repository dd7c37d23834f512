"""What the postprocessor "Upscale plus" does to an image of the Extras tab, or of a generation."""

from __future__ import annotations

from collections.abc import Mapping

from lib_upscale.errors import CancelledError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.webui.extras import builtin_upscale, originals
from lib_upscale.webui.host import console, jobs
from lib_upscale.webui.host.protocols import HostPostprocessed
from lib_upscale.webui.ui.upscale_controls import settings_of
from lib_upscale.webui.upscalers.engine import engine
from lib_upscale.webui.upscalers.infotext import create_infotext

__all__ = ["NAME", "process", "process_firstpass"]

NAME = "Upscale plus"
"""The postprocessor's name on the host's settings page."""


def process_firstpass(pp: HostPostprocessed, values: Mapping[str, object]) -> None:
    """Tell the other postprocessors the size of the result, as the host's own accordion does.

    Args:
        pp: The host's image, before any postprocessor runs.
        values: Name of a control -> its value.
    """
    if not values.get("enabled"):
        return
    settings, size = settings_of(values), Size(*pp.image.size)
    builtin = builtin_upscale.of_running_job()
    if builtin is None:
        final = engine.plan_size(size, settings)
    elif builtin_upscale.runs_before(NAME):
        final = engine.plan_size(builtin.output(size), settings)
    else:
        final = builtin.output(engine.plan_size(size, settings))
    pp.shared.target_width, pp.shared.target_height = final


def process(pp: HostPostprocessed, values: Mapping[str, object], *, in_generation: bool = False) -> None:
    """Upscale an image in place and note in its infotext what was done.

    Args:
        pp: The host's image.
        values: Name of a control -> its value. The host's API calls every postprocessor with values of None: that is
            off.
        in_generation: The host's settings have put the accordion into txt2img or img2img. There the host prints what
            is raised and goes on, so the page shows the problem, and the image stays as it was generated.

    Raises:
        UpscalePlusError: Whatever prevents it, outside of a generation.
    """
    if not values.get("enabled"):
        return
    if not in_generation:
        _upscale(pp, values, moves_bar=True)
        return
    try:
        _upscale(pp, values, moves_bar=False)
    except UpscalePlusError as error:
        reason = "interrupted" if isinstance(error, CancelledError) else str(error)
        console.say(f"the image was not upscaled: {reason}")
        console.warn(f"{NAME}: the image was not upscaled: {reason}")


def _upscale(pp: HostPostprocessed, values: Mapping[str, object], *, moves_bar: bool) -> None:
    settings = settings_of(values)
    kept = originals.of_running_job()
    picture = Picture.from_pil(pp.image) if kept is None else kept.picture_of(pp.image)
    in_extras = jobs.is_extras_job()
    try:
        with jobs.image_progress(counted_already=not in_extras, moves_bar=moves_bar) as progress:
            result = engine.upscale(picture, settings, progress)
    finally:
        if not moves_bar:
            engine.after_image("postprocess")
        elif not in_extras:
            engine.release_soon()  # Forge Neo's video: another frame may come
    image = result.picture.to_pil()
    pp.image = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    if kept is not None:
        kept.add_result(pp.image, result.picture)
    pp.info.update(create_infotext(settings, result.plan))
