"""The line under the accordion's controls: what will happen to the image, or why it can't."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lib_upscale.image.geometry import Size
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan
from lib_upscale.webui.extras import builtin_upscale
from lib_upscale.webui.extras.builtin_upscale import BuiltinUpscale
from lib_upscale.webui.extras.postprocess import NAME
from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.ui import plan_line, upscale_controls
from lib_upscale.webui.ui.plan_line import Line
from lib_upscale.webui.upscalers.engine import engine, model_list

__all__ = ["plan_summary"]

_FEW = 5
"""Problems of files that are shown without being unfolded."""


def plan_summary(
    size: tuple[int, int] | None,
    host_values: Mapping[str, object] | None,
    values: Mapping[str, object],
    *,
    in_generation: bool = False,
    is_batch: bool = False,
    as_html: bool = True,
) -> str:
    """Say what will happen, or why it can't. Never raises.

    Args:
        size: Width and height of the image in pixels; None where there is none yet.
        host_values: Name of a control of the host's accordion -> its value.
        values: Name of a control of ours -> its value.
        in_generation: The controls are in txt2img or img2img, where the image does not exist yet.
        is_batch: A tab for several images is open.
        as_html: As the page shows it, with the files that can't be used.
    """
    line = plan_line.make_line(lambda: _summarize(size, host_values or {}, values, in_generation, is_batch))
    problems = model_list.problems()
    if not as_html:
        return " ".join([line.text, *(f"{problem}." for problem in problems)])
    return f"{line.to_html()}{_list_problems(problems)}"


def _summarize(
    size: tuple[int, int] | None,
    host_values: Mapping[str, object],
    values: Mapping[str, object],
    in_generation: bool,
    is_batch: bool,
) -> Line:
    count = len(model_list.upscalers())
    if not count and model_list.is_starting:
        return Line("New model files are being identified, which takes a while once.", unfinished=True)
    if not count:
        folder = environment.models_path() / "ESRGAN"
        return Line(f"No upscaler model was found. Put one into {folder} and press the button above.", good=False)
    available = f"{count} model{'s' if count != 1 else ''} found."
    if not values.get("enabled"):
        return Line(available)
    settings = upscale_controls.settings_of(values)
    model = model_list.find(settings.model)
    if in_generation:
        return Line(f"Every generated image is then upscaled with {model.name}. {available}")
    if is_batch:
        return Line(f"Every image of the batch gets its own size and tiles, with {model.name}. {available}")
    if size is None:
        return Line(f"Choose an image to see its size and number of tiles here. {available}")
    return _describe_both(Size(*size), BuiltinUpscale.from_values(host_values), settings)


def _describe_both(size: Size, builtin: BuiltinUpscale | None, settings: UpscaleSettings) -> Line:
    if builtin is None:
        return _describe(engine.plan(size, settings))
    if builtin_upscale.runs_before(NAME):
        between = builtin.output(size)
        plan = engine.plan(between, settings)
        line = _describe(plan)
        final, steps = plan.output, f"Upscale to {between} with {builtin.upscaler}, then {line.text}"
    else:
        plan = engine.plan(size, settings)
        line = _describe(plan)
        final = builtin.output(plan.output)
        steps = f"{line.text}; then Upscale to {final} with {builtin.upscaler}"
    return replace(line, text=f"{size} -> {final} in all, as both accordions are on: first {steps}")


def _describe(plan: UpscalePlan) -> Line:
    time = "" if plan.seconds is None else f", {plan.seconds.describe()}"
    automatic = plan_line.automatic_values(plan.settings, plan_line.tiles_of_model(plan))
    text = f"{plan.describe()}{time}{plan_line.describe_automatic(plan.settings, automatic)}"
    if not plan.complete:
        text += "; the number of tiles is not known yet"
    return Line(text, automatic=automatic, unfinished=not plan.complete and not jobs.is_busy())


def _list_problems(problems: Sequence[str]) -> str:
    """The files among the models that can't be used; folded away where they are many."""
    if not problems:
        return ""
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} with files and folders of models"
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    unfolded = " open" if len(problems) <= _FEW else ""
    return f"<details class='upscale-plus-problems'{unfolded}><summary>{count}</summary><ul>{items}</ul></details>"
