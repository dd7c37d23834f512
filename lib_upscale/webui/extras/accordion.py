"""The accordion "Upscale plus" of the Extras tab: its controls, the line under them, and what it does to a picture."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from lib_upscale.errors import CancelledError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.run import UpscalePlan
from lib_upscale.webui.extras import builtin_upscale as builtin
from lib_upscale.webui.extras.builtin_upscale import BuiltIn
from lib_upscale.webui.host import console, environment, jobs
from lib_upscale.webui.host.page import input_accordion, on_page_load
from lib_upscale.webui.host.scripts import extras_scripts
from lib_upscale.webui.ui import plan_line
from lib_upscale.webui.ui import upscale_controls as controls
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["NAME", "Accordion", "OtherList", "plan_summary", "process", "process_firstpass", "recipe"]

NAME = "Upscale plus"
"""What the host's settings page calls it."""

RECIPE = "Upscale Plus recipe"
"""The infotext key by which a result made with the same settings is known again."""

_PREFIX = "upscale_plus_extras"
_NOTHING: Mapping[str, Any] = {}
_FEW = 5
"""Problems of files that are shown without being asked for."""


@dataclass
class _Running:
    """What is known of the Extras job that runs: set by the wrap around it."""

    builtin: BuiltIn | None = None
    builtin_comes_first: bool = True


job = _Running()


class Accordion:
    """The accordion on the page. One is made each time the page is built.

    The host's settings can have it in txt2img and img2img as well: `tab` tells those apart and is "" in Extras.
    """

    def __init__(self, tab: str = "") -> None:
        self.inputs: dict[str, Any] = {}
        self._tab = tab
        self._prefix = f"{_PREFIX}_{tab}" if tab else _PREFIX
        self._controls: controls.Controls | None = None
        self._line: Any = None
        self._size: Any = None

    def build(self) -> dict[str, Any]:
        """Make it; the inputs by name, as the host wants them."""
        with input_accordion(False, label=NAME, elem_id=self._prefix) as enabled:
            made = controls.build(
                engine.upscalers(), self._prefix, has_tooltips=environment.has_tooltips(), for_batches=not self._tab
            )
            self._line = gr.HTML(
                plan_summary(None, None, {}), elem_id=f"{self._prefix}_plan", elem_classes=["upscale-plus-plan"]
            )
            self._size = gr.State(None)
        self._controls = made
        self.inputs = {"enabled": enabled, **made.inputs}
        rows, kind = made.target_rows, made.inputs["target_kind"]
        kind.change(controls.target_rows, inputs=[kind], outputs=rows, show_progress=False)
        filled = [made.inputs[name] for name in controls.preset_fields()]
        made.preset.change(controls.preset_values, inputs=[made.preset], outputs=filled, show_progress=False)
        return self.inputs

    def connect(
        self, image: Any = None, builtin_controls: Mapping[str, Any] = _NOTHING, others: Sequence[OtherList] = ()
    ) -> None:
        """Have the line follow the picture and all controls, and the lists the files in the folders.

        `image` is the picture of the page, `builtin_controls` those of the host's accordion by name, `others` the
        lists of upscalers elsewhere on the page, which the refresh button and a new page fill too.
        """
        assert self._controls is not None
        names = [name for name in builtin.NAMES if name in builtin_controls]
        own = list(self.inputs)
        generation = bool(self._tab)

        def line(size: tuple[int, int] | None, *values: Any) -> str:
            theirs = dict(zip(names, values[: len(names)], strict=True))
            ours = dict(zip(own, values[len(names) :], strict=True))
            return plan_summary(size, theirs, ours, generation=generation)

        def picture_changed(picture: Any, *values: Any) -> tuple[Any, str]:
            size = picture.size if isinstance(picture, Image.Image) else None
            return size, line(size, *values)

        def looked(size: tuple[int, int] | None, *values: Any) -> list[Any]:
            ours = _refreshed(dict(zip(own, values[len(names) :], strict=True)))
            return [*ours, *(gr.update(choices=other.choices()) for other in others), line(size, *values)]

        inputs = [*(builtin_controls[name] for name in names), *self.inputs.values()]
        if image is not None:
            image.change(
                picture_changed, inputs=[image, *inputs], outputs=[self._size, self._line], show_progress=False
            )
        for component in inputs:
            if component is not self.inputs["enabled"]:
                component.change(line, inputs=[self._size, *inputs], outputs=[self._line], show_progress=False)
        all_lists = [*self._controls.model_lists, *(other.component for other in others)]
        asked = {"inputs": [self._size, *inputs], "outputs": [*all_lists, self._line], "show_progress": False}
        # A file that came meanwhile is there when somebody opens the accordion or the page, and at the button.
        self._controls.refresh.click(looked, **asked)
        self.inputs["enabled"].change(looked, **asked)
        on_page_load(looked, **asked)


@dataclass(frozen=True)
class OtherList:
    """A list of upscalers that is not the accordion's own."""

    component: Any
    choices: Callable[[], list[str]]
    """What it offers now."""


def plan_summary(
    size: tuple[int, int] | None,
    theirs: Mapping[str, Any] | None,
    values: Mapping[str, Any],
    *,
    generation: bool = False,
    as_html: bool = True,
) -> str:
    """The line under the controls: what will happen, or why it can't. Never raises.

    `generation`: the controls stand in txt2img or img2img, where the picture is not there yet.
    """
    text, good = _plan(size, theirs or {}, values, generation)
    problems = engine.problems() if size is None or not good else []
    if not as_html:
        return " ".join([text, *(f"{problem}." for problem in problems)])
    return f"{plan_line.shown(text, good=good)}{_listed(problems)}"


def _plan(
    size: tuple[int, int] | None, theirs: Mapping[str, Any], values: Mapping[str, Any], generation: bool
) -> tuple[str, bool]:
    try:
        count = len(engine.upscalers())
        if not count:
            folder = environment.models_path() / "ESRGAN"
            return f"No upscaler model was found. Put one into {folder} and press the button above.", False
        found = f"{count} model{'s' if count != 1 else ''} found."
        if not values.get("enabled"):
            return found, True
        settings = controls.settings_of(values)
        model = engine.find(settings.model)
        if generation:
            return f"Every picture that is made is then given to {model.name}. {found}", True
        if size is None:
            return f"Choose a picture, and this line says what will become of it. {found}", True
        return _plan_for(Size(*size), BuiltIn.of(theirs), settings), True
    except UpscalePlusError as error:
        return str(error), False
    except Exception as error:  # a line of text must not break the page
        console.report("the plan could not be made")
        return f"The plan could not be made ({type(error).__name__}: {error})", False


def _listed(problems: Sequence[str]) -> str:
    """The files that lie among the models and are none; folded away where they are many."""
    if not problems:
        return ""
    count = f"{len(problems)} file{'s' if len(problems) != 1 else ''} there can't be used"
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    unfolded = " open" if len(problems) <= _FEW else ""
    return f"<details class='upscale-plus-problems'{unfolded}><summary>{count}</summary><ul>{items}</ul></details>"


def _plan_for(size: Size, theirs: BuiltIn | None, settings: UpscaleSettings) -> str:
    if theirs is None:
        return _described(engine.plan(size, settings))
    if _builtin_comes_first():
        between = theirs.output(size)
        ours = engine.plan(between, settings)
        return (
            f"{size} -> {ours.output} in all, as both accordions are on: first Upscale makes {between} with "
            f"{theirs.upscaler}, then {_described(ours)}"
        )
    ours = engine.plan(size, settings)
    final = theirs.output(ours.output)
    return (
        f"{size} -> {final} in all, as both accordions are on: first {_described(ours)}; then Upscale makes {final} "
        f"with {theirs.upscaler}"
    )


def _described(plan: UpscalePlan) -> str:
    seconds = plan.seconds
    return plan.describe() + ("" if seconds is None else f", about {max(1, round(seconds))} s")


def _builtin_comes_first() -> bool:
    """Whether the host's accordion runs before ours, as ordered on its settings page."""
    order = [script.name for script in extras_scripts()]
    return "Upscale" in order and NAME in order and order.index("Upscale") < order.index(NAME)


def _refreshed(values: Mapping[str, Any]) -> list[Any]:
    """Updates for the accordion's own lists after reading the folders again; a list without a choice gets one."""
    registry.refresh()
    found = engine.upscalers()
    updates = [gr.update(choices=choices) for choices in controls.model_choices(found)]
    if not controls.name_of(values.get("model")):
        updates[0] = gr.update(choices=controls.titles(found), value=controls.first_choice(found))
    return updates


def process_firstpass(pp: Any, values: Mapping[str, Any]) -> None:
    """Tell the other postprocessors the size of the result, as the host's own accordion does."""
    if not values.get("enabled"):
        return
    settings = controls.settings_of(values)
    size = Size(*pp.image.size)
    before = job.builtin if job.builtin is not None and job.builtin_comes_first else None
    plan = engine.plan_size(before.output(size) if before else size, settings)
    final = plan if before or job.builtin is None else job.builtin.output(plan)
    pp.shared.target_width, pp.shared.target_height = final


def process(pp: Any, values: Mapping[str, Any], *, generation: bool = False) -> None:
    """Upscale the picture of `pp` in place and note what was done. Raises `UpscalePlusError`.

    The API of the host calls every postprocessor with arguments of None: that is off. In a `generation`, where the
    host's settings may have put it, the host prints what is raised and goes on: there the page is told, and the
    picture stays as it was made.
    """
    if not values.get("enabled"):
        return
    if not generation:
        _process(pp, values, moves_bar=True)
        return
    try:
        _process(pp, values, moves_bar=False)
    except UpscalePlusError as error:
        why = "interrupted" if isinstance(error, CancelledError) else str(error)
        console.say(f"the picture was not upscaled: {why}")
        console.warn(f"{NAME}: the picture was not upscaled: {why}")


def _process(pp: Any, values: Mapping[str, Any], *, moves_bar: bool) -> None:
    settings = controls.settings_of(values)
    picture = Picture.from_pil(pp.image)
    in_extras = jobs.is_extras_job()
    try:
        with jobs.image_progress(counted_already=not in_extras, moves_bar=moves_bar) as progress:
            result = engine.upscale(picture, settings, progress)
            plan = engine.plan(picture.size, settings)
    finally:
        if not in_extras:
            engine.after_job()
    made = result.to_pil()
    pp.image = made if made.mode in ("RGB", "RGBA") else made.convert("RGB")
    pp.info.update(infotext(settings, plan))


def infotext(settings: UpscaleSettings, plan: UpscalePlan) -> dict[str, Any]:
    """What goes into the result's text: the settings that differ from their defaults, the model and what was done."""
    entry = next((each.entry for each in plan.passes if each.entry.name == settings.model), plan.passes[-1].entry)
    return {
        **settings.to_infotext(),
        "Upscale Plus upscaler": entry.name,
        "Upscale Plus model hash": environment.short_hash(entry.path),
        "Upscale Plus size": str(plan.output),
        "Upscale Plus tiles": plan.tiles,
        RECIPE: recipe(settings),
    }


def recipe(settings: UpscaleSettings) -> str:
    """A short word that differs where settings or the files of their models do."""
    names = (settings.model, settings.second_model, *settings.before, *settings.after)
    stamps = [(name, engine.fingerprint(name)) for name in names if name]
    return hashlib.sha256(f"{settings.to_json()} {stamps}".encode()).hexdigest()[:10]
