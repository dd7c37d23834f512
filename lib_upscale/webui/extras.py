"""The accordion "Upscale plus" of the Extras tab: its controls, the line under them, and what it does to a picture."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.settings import UpscaleSettings
from lib_upscale.upscale import Job
from lib_upscale.webui import builtin, controls, host, registry
from lib_upscale.webui.builtin import BuiltIn
from lib_upscale.webui.engine import engine

__all__ = ["NAME", "Accordion", "process", "process_firstpass", "recipe", "say_plan"]

NAME = "Upscale plus"
"""What the host's settings page calls it."""

RECIPE = "Upscale Plus recipe"
"""The infotext key by which a result made with the same settings is known again."""

_PREFIX = "upscale_plus_extras"


@dataclass
class _Running:
    """What is known of the Extras job that runs: set by the wrap around it."""

    builtin: BuiltIn | None = None
    builtin_comes_first: bool = True


job = _Running()


class Accordion:
    """The accordion on the page. One is made each time the page is built."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self._controls: controls.Controls | None = None
        self._line: Any = None
        self._size: Any = None

    def build(self) -> dict[str, Any]:
        """Make it; the inputs by name, as the host wants them."""
        with host.input_accordion(False, label=NAME, elem_id=_PREFIX) as enabled:
            made = controls.build(engine.upscalers(), _PREFIX, has_tooltips=host.has_tooltips(), for_batches=True)
            self._line = gr.HTML(
                say_plan(None, None, {}), elem_id=f"{_PREFIX}_plan", elem_classes=["upscale-plus-plan"]
            )
            self._size = gr.State(None)
        self._controls = made
        self.inputs = {"enabled": enabled, **made.inputs}
        rows, kind = made.target_rows, made.inputs["target_kind"]
        kind.change(controls.target_rows, inputs=[kind], outputs=rows, show_progress=False)
        filled = [made.inputs[name] for name in controls.preset_fields()]
        made.preset.change(controls.preset_values, inputs=[made.preset], outputs=filled, show_progress=False)
        return self.inputs

    def connect(self, image: Any, builtin_controls: Mapping[str, Any], host_lists: list[Any]) -> None:
        """Have the line follow the picture and all controls, and the refresh button the host's lists too.

        `image` is the picture of the page, `builtin_controls` those of the host's accordion by name, `host_lists` the
        host's dropdowns of upscalers beside this accordion.
        """
        assert self._controls is not None
        others = [builtin_controls[name] for name in builtin.NAMES if name in builtin_controls]
        names = [name for name in builtin.NAMES if name in builtin_controls]
        own = list(self.inputs)

        def line(size: tuple[int, int] | None, *values: Any) -> str:
            theirs = dict(zip(names, values[: len(names)], strict=True))
            return say_plan(size, theirs, dict(zip(own, values[len(names) :], strict=True)))

        def picture_changed(picture: Any, *values: Any) -> tuple[Any, str]:
            size = picture.size if isinstance(picture, Image.Image) else None
            return size, line(size, *values)

        inputs = [*others, *self.inputs.values()]
        image.change(picture_changed, inputs=[image, *inputs], outputs=[self._size, self._line], show_progress=False)
        for component in inputs:
            component.change(line, inputs=[self._size, *inputs], outputs=[self._line], show_progress=False)
        lists = [*self._controls.model_lists, *host_lists]
        self._controls.refresh.click(
            lambda size, *values: [*_refreshed(len(host_lists)), line(size, *values)],
            inputs=[self._size, *inputs],
            outputs=[*lists, self._line],
            show_progress=False,
        )


def say_plan(
    size: tuple[int, int] | None, theirs: Mapping[str, Any] | None, values: Mapping[str, Any], *, as_html: bool = True
) -> str:
    """The line under the controls: what will happen, or why it can't. Never raises."""
    text, good = _plan(size, theirs or {}, values)
    if not as_html:
        return text
    kind = "upscale-plus-good" if good else "upscale-plus-bad"
    return f"<div class='{kind}'>{html.escape(text)}</div>"


def _plan(size: tuple[int, int] | None, theirs: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, bool]:
    try:
        if not engine.upscalers():
            return _nothing_found(), False
        if not values.get("enabled"):
            return _found(), True
        settings = controls.settings_of(values)
        engine.models.find(settings.model)
        if size is None:
            return f"Choose a picture, and this line says what will become of it. {_found()}", True
        return _plan_for(Size(*size), BuiltIn.of(theirs), settings), True
    except UpscalePlusError as error:
        return str(error), False
    except Exception as error:  # a line of text must not break the page
        host.report("the plan could not be made")
        return f"The plan could not be made ({type(error).__name__}: {error})", False


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


def _described(plan: Job) -> str:
    seconds = plan.seconds
    return plan.describe() + ("" if seconds is None else f", about {max(1, round(seconds))} s")


def _found() -> str:
    count = len(engine.upscalers())
    words = [f"{count} model{'s' if count != 1 else ''} found.", *engine.problems()]
    return " ".join(words[:1]) + "".join(f" Not usable: {problem}." for problem in words[1:])


def _nothing_found() -> str:
    problems = "".join(f" {problem}." for problem in engine.problems())
    folder = host.models_path() / "ESRGAN"
    return f"No upscaler model was found. Put one into {folder} and press the button above.{problems}"


def _builtin_comes_first() -> bool:
    """Whether the host's accordion runs before ours, as ordered on its settings page."""
    order = [script.name for script in host.extras_scripts()]
    return "Upscale" in order and NAME in order and order.index("Upscale") < order.index(NAME)


def _refreshed(host_lists: int) -> list[Any]:
    registry.refresh()
    ours = [gr.update(choices=choices) for choices in controls.model_choices(engine.upscalers())]
    return [*ours, *[gr.update(choices=registry.names()) for _ in range(host_lists)]]


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


def process(pp: Any, values: Mapping[str, Any]) -> None:
    """Upscale the picture of `pp` in place and note what was done. Raises `UpscalePlusError`.

    The API of the host calls every postprocessor with arguments of None: that is off.
    """
    if not values.get("enabled"):
        return
    settings = controls.settings_of(values)
    picture = Picture.from_pil(pp.image)
    try:
        with host.picture_progress(counted_already=not host.is_extras_job()) as progress:
            result = engine.upscale(picture, settings, progress)
            plan = engine.plan(picture.size, settings)
    finally:
        if not host.is_extras_job():
            engine.after_job()
    made = result.to_pil()
    pp.image = made if made.mode in ("RGB", "RGBA") else made.convert("RGB")
    pp.info.update(infotext(settings, plan))


def infotext(settings: UpscaleSettings, plan: Job) -> dict[str, Any]:
    """What goes into the result's text: the settings that differ from their defaults, the model and what was done."""
    entry = next((each.entry for each in plan.passes if each.entry.name == settings.model), plan.passes[-1].entry)
    return {
        **settings.to_infotext(),
        "Upscale Plus upscaler": entry.name,
        "Upscale Plus model hash": host.short_hash(entry.path),
        "Upscale Plus size": str(plan.output),
        "Upscale Plus tiles": plan.tiles,
        RECIPE: recipe(settings),
    }


def recipe(settings: UpscaleSettings) -> str:
    """A short word that differs where settings or the files of their models do."""
    names = (settings.model, settings.second_model, *settings.before, *settings.after)
    stamps = [(name, engine.stamp(name)) for name in names if name]
    return hashlib.sha256(f"{settings.to_json()} {stamps}".encode()).hexdigest()[:10]
