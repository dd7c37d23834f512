"""The section "Hires fix plus" in txt2img: its controls, the line under them, and the way back from infotext."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import plan_redraw
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import rules as hires_rules
from lib_upscale.webui.hires_fix.second_pass import DEFAULTS, PREFIX, TITLE, HiresRequest
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.hires_fix.tiles import tiles_settings
from lib_upscale.webui.host import base_model
from lib_upscale.webui.host.page import input_accordion
from lib_upscale.webui.ui.control_factory import ControlFactory
from lib_upscale.webui.ui.follower import Follower
from lib_upscale.webui.ui.plan_line import Line, automatic_values, describe_automatic, make_line, tiles_of
from lib_upscale.webui.ui.values import control_value, offered, read_controls
from lib_upscale.webui.upscalers import registry

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["FIELDS", "HOST_CONTROLS", "HiresPage", "parse_request", "plan_summary"]

_ID = "upscale_plus_hires"
_OFFERED = offered(RedrawSettings, Page.HIRES)

FIELDS = ("enabled", *_OFFERED)
"""The section's arguments by position."""

HOST_CONTROLS = {
    "txt2img_width": "width",
    "txt2img_height": "height",
    "txt2img_hr-checkbox": "enable_hr",
    "txt2img_hr_scale": "hr_scale",
    "txt2img_hr_resize_x": "hr_resize_x",
    "txt2img_hr_resize_y": "hr_resize_y",
    "txt2img_hr_upscaler": "hr_upscaler",
    "txt2img_sampling": "sampler_name",
    "hr_sampler": "hr_sampler_name",
    "hr_checkpoint": "hr_checkpoint_name",
}
"""The host's components that the line depends on, by their ids."""


def parse_request(values: Sequence[object]) -> HiresRequest:
    """What the section's arguments say: by position, or one dictionary by name. Raises `SettingsError`."""
    if values and isinstance(values[0], dict):
        return HiresRequest.of(values[0])
    by_name = dict(zip(FIELDS, values, strict=False))
    return HiresRequest.of({"enabled": bool(by_name.get("enabled")), **read_controls(RedrawSettings, by_name)})


class HiresPage:
    """The section's controls on the page that is being built."""

    def __init__(self) -> None:
        self.inputs: dict[str, Component] = {}
        self._line: Any = None
        self._follower: Follower | None = None

    def build(self) -> list[Component]:
        """Make them, in the order of `FIELDS`."""
        factory = ControlFactory(_ID, RedrawSettings, values=DEFAULTS)
        inputs = self.inputs
        with input_accordion(False, label=TITLE, elem_id=_ID) as enabled:
            inputs["enabled"] = enabled
            inputs.update(factory.rows(item for item in _OFFERED.values() if not item.group.folded))
            with factory.fold():
                inputs.update(factory.rows(item for item in _OFFERED.values() if item.group.folded))
            self._line = gr.HTML("", elem_id=f"{_ID}_plan", elem_classes=["upscale-plus-plan"])
            self._follower = Follower(_ID)
        return [inputs[name] for name in FIELDS]

    def infotext_fields(self) -> list[tuple[Component, Callable[[Mapping[str, str]], object]]]:
        """(component, how to find its value in an image's parameters) for pasting."""
        return [(self.inputs[name], _restorer(name)) for name in FIELDS]

    def connect(self, host_controls: Mapping[str, Component]) -> None:
        """Have the line follow the controls and the host's, which are those of `HOST_CONTROLS` by their names."""
        names = list(host_controls)
        inputs = [*host_controls.values(), *(self.inputs[name] for name in FIELDS)]

        def line(*values: object) -> str:
            return plan_summary(dict(zip(names, values, strict=False)), values[len(names) :])

        assert self._follower is not None
        self._follower.answer(line, inputs, [self._line])
        self._follower.listen(*(component.change for component in inputs))


def plan_summary(host_values: Mapping[str, object], values: Sequence[object]) -> str:
    """The line under the controls: what the second pass will do, or why it can't. Never raises."""
    return make_line(lambda: _plan(host_values, values)).to_html()


def _plan(host_values: Mapping[str, object], values: Sequence[object]) -> Line:
    request = parse_request(values)
    if not request.enabled:
        return Line("")
    if not host_values.get("enable_hr", True):
        return Line(
            "Hires. fix is off: this section changes its second pass. Enable it, or press the upscale button under the "
            "gallery, which runs that pass alone."
        )
    p = SimpleNamespace(**{**dict.fromkeys(HOST_CONTROLS.values()), **host_values})
    hires_rules.check(p, request.settings)
    if not hires_rules.is_latent(p):
        registry.check(p.hr_upscaler)
    sides = base_model.sides_of(_checkpoint(p.hr_checkpoint_name))
    size = hires_rules.size_of(p, sides.multiple)
    start = f"{Size(int(p.width), int(p.height))} -> {size.final}"
    notes = hires_rules.notes(p, request.settings)
    line = _describe(request.settings, size, sides)
    return replace(line, text=f"{'. '.join([f'{start}: {line.text}', *notes])}.")


def _describe(settings: RedrawSettings, size: HiresSize, sides: base_model.Sides) -> Line:
    canvas = size.canvas if settings.method is RedrawMethod.JOINT else size.final
    plan = plan_redraw(canvas, tiles_settings(settings), **sides._asdict(), strength=1.0)
    automatic = automatic_values(settings, tiles_of(plan.passes[-1]))
    text = plan.describe().partition(", ")[2] + describe_automatic(settings, automatic)
    return Line(text, automatic=automatic)


def _checkpoint(name: object) -> str | None:
    return None if name in (None, "", "Use same checkpoint") else str(name)


def _restorer(name: str) -> Callable[[Mapping[str, str]], object]:
    def from_text(parameters: Mapping[str, str]) -> object:
        if PREFIX not in parameters:
            # An image made without the section switches it off; the rest stays as the person left it.
            return gr.update(value=False) if name == "enabled" and "Hires upscaler" in parameters else gr.update()
        if name == "enabled":
            return gr.update(value=True)
        settings = RedrawSettings.from_infotext(parameters, PREFIX).changed(method=RedrawMethod(parameters[PREFIX]))
        return gr.update(value=control_value(_OFFERED[name], settings))

    return from_text
