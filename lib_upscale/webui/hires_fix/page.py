"""The section "Hires fix plus" in txt2img: its controls, the line under them, and the way back from infotext."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_upscale.estimate import NOTHING, Estimate
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import RedrawPlan, plan_redraw
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import rules as hires_rules
from lib_upscale.webui.hires_fix.costs import calls_of_batch, tiles_settings
from lib_upscale.webui.hires_fix.second_pass import DEFAULTS, PREFIX, TITLE, HiresRequest
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model
from lib_upscale.webui.host.page import controlnet_switches, count_switched_on, input_accordion
from lib_upscale.webui.host.sampling import count_evaluations
from lib_upscale.webui.tiled_sampling.prompt_checks import host_choices, without_lacking
from lib_upscale.webui.ui.control_factory import ControlFactory
from lib_upscale.webui.ui.follower import Follower
from lib_upscale.webui.ui.plan_line import Line, automatic_values, describe_automatic, make_line, tiles_of
from lib_upscale.webui.ui.values import control_value, offered, read_controls
from lib_upscale.webui.upscalers import registry, timings
from lib_upscale.webui.upscalers.enlarger import estimate_enlarging

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
    "txt2img_steps": "steps",
    "txt2img_hires_steps": "hr_second_pass_steps",
    "txt2img_batch_count": "n_iter",
    "txt2img_batch_size": "batch_size",
    **controlnet_switches("txt2img"),
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
        factory = ControlFactory(_ID, RedrawSettings, host_choices(), DEFAULTS)
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
    canvas = size.canvas if request.settings.method is RedrawMethod.JOINT else size.final
    plan = plan_redraw(canvas, tiles_settings(request.settings), **sides._asdict(), strength=1.0)
    automatic = automatic_values(request.settings, tiles_of(plan.passes[-1]))
    text = plan.describe(time=_time(p, request.settings, plan, size)).partition(", ")[2]
    text += describe_automatic(request.settings, automatic)
    return Line(f"{'. '.join([f'{start}: {text}', *notes])}.", automatic=automatic)


def _time(p: Any, settings: RedrawSettings, plan: RedrawPlan, size: HiresSize) -> str:
    """About how long the second passes of all images take; "" where that is not known."""
    last, together = plan.passes[-1], max(1, int(p.batch_size or 1))
    steps = int(p.hr_second_pass_steps or 0) or int(p.steps or 20)
    sampler = p.sampler_name if p.hr_sampler_name in hires_rules.SAME_SAMPLER else p.hr_sampler_name
    units = count_switched_on(vars(p))
    call, count = calls_of_batch(last, count_evaluations(sampler, steps), settings, together, units)
    checkpoint = base_model.selected_name(_checkpoint(p.hr_checkpoint_name))
    painting = timings.estimate_calls(checkpoint, [(call, count)])
    if painting is None:
        return ""
    enlarging: Estimate | None = NOTHING
    if not hires_rules.is_latent(p):
        enlarging = estimate_enlarging(p.hr_upscaler, Size(int(p.width), int(p.height)), size.enlarged)
    batches = max(1, int(p.n_iter or 1))
    text = ((painting + (enlarging or NOTHING) * together) * batches).describe()
    return f"{text} for the second pass" + ("" if enlarging is not None else " and the upscaling")


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
        return gr.update(value=control_value(_OFFERED[name], without_lacking(settings)))

    return from_text
