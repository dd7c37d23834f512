"""The line under the controls of a page: what will happen, or why it can't."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import PassPlan
from lib_upscale.redrawing.latent import joint_grid
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import AUTOMATIC, options
from lib_upscale.upscaling.plan import UpscalePlan
from lib_upscale.webui.host import console

__all__ = ["automatic_values", "show_plan", "tiles_of", "tiles_of_model", "to_html"]


def show_plan(plan: Callable[[], str]) -> str:
    """What `plan` says, or what it raises, as HTML. Never raises: a line of text must not break the page."""
    try:
        return to_html(plan(), good=True)
    except UpscalePlusError as error:
        return to_html(str(error), good=False)
    except Exception as error:
        console.report("the plan could not be made")
        return to_html(f"The plan could not be made ({type(error).__name__}: {error})", good=False)


def to_html(text: str, *, good: bool) -> str:
    """The text as HTML, in the color of what will happen or of what can't."""
    return f"<div class='upscale-plus-{'good' if good else 'bad'}'>{html.escape(text)}</div>"


def automatic_values(settings: Settings, chosen: Mapping[str, object]) -> str:
    """What automatic settings came to for this image, such as "tile 512 (automatic)"; "" where all are set by hand.

    Args:
        settings: What the person set.
        chosen: What the plan uses, by name of the field.
    """
    labels = {name: options(type(settings))[name].label.lower() for name in chosen}
    words = [f"{labels[name]} {value}" for name, value in chosen.items() if getattr(settings, name) is None]
    return f"{', '.join(words)} ({AUTOMATIC})" if words else ""


def tiles_of(step: PassPlan) -> dict[str, object]:
    """What a pass of a redraw uses for the settings of its tiles that may be automatic."""
    if step.joint is not None:
        columns, rows, tile = joint_grid(step.grid.tile, step.joint)
        return _tiles(tile, columns * rows, step.joint.overlap * LATENT)
    shared = [len(axis.shared(0)) for axis in (step.grid.across, step.grid.down) if len(axis.origins) > 1]
    return _tiles(step.grid.tile, len(step.grid.tiles), min(shared, default=0))


def tiles_of_model(plan: UpscalePlan) -> dict[str, object]:
    """What the first pass of a model uses for the settings of its tiles that may be automatic, where it is known."""
    tiling = plan.passes[0].tiling
    return {} if tiling is None else _tiles(tiling.tile, plan.passes[0].tiles or 1, tiling.overlap)


def _tiles(tile: Size | int, count: int, overlap: int) -> dict[str, object]:
    return {"tile": tile, "overlap": overlap} if count > 1 else {"tile": tile}
