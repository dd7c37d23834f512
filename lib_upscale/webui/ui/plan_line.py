"""The line under the controls of a page: what will happen, or why it can't."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import PassPlan
from lib_upscale.redrawing.latent import joint_grid
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import AUTOMATIC, options
from lib_upscale.upscaling.plan import UpscalePlan
from lib_upscale.webui.host import console

__all__ = ["Line", "automatic_values", "describe_automatic", "make_line", "tiles_of", "tiles_of_model"]


@dataclass(frozen=True)
class Line:
    """What the line says."""

    text: str
    good: bool = True
    """Whether it tells what will happen; if not, why it can't."""
    automatic: Mapping[str, str] = field(default_factory=dict)
    """What automatic settings came to for this image, by name of the field."""
    unfinished: bool = False
    """Whether more will be known in a moment: the page asks again."""

    def to_html(self) -> str:
        """The line as the page shows it; the page's script reads what else is in it (javascript/upscale_plus.js)."""
        chosen = f" data-automatic='{html.escape(json.dumps(dict(self.automatic)))}'" if self.automatic else ""
        again = " data-again='1'" if self.unfinished else ""
        return (
            f"<div class='upscale-plus-{'good' if self.good else 'bad'}'{chosen}{again}>{html.escape(self.text)}</div>"
        )


def make_line(plan: Callable[[], Line]) -> Line:
    """What `plan` says, or what it raises. Never raises: a line of text must not break the page."""
    try:
        return plan()
    except UpscalePlusError as error:
        return Line(str(error), good=False)
    except Exception as error:
        console.report("the plan could not be made")
        return Line(f"The plan could not be made ({type(error).__name__}: {error})", good=False)


def automatic_values(settings: Settings, chosen: Mapping[str, object]) -> dict[str, str]:
    """What automatic settings came to for this image, by name of the field.

    Args:
        settings: What the person set.
        chosen: What the plan uses, by name of the field.
    """
    return {name: str(value) for name, value in chosen.items() if getattr(settings, name) is None}


def describe_automatic(settings: Settings, values: Mapping[str, str]) -> str:
    """Say what `automatic_values` are, such as "; tile 512 (automatic)"; "" where all are set by hand."""
    known = options(type(settings))
    words = [f"{known[name].label.lower()} {value}" for name, value in values.items()]
    return f"; {', '.join(words)} ({AUTOMATIC})" if words else ""


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
