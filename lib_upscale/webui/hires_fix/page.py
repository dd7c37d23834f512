"""The section "Hires fix plus" in txt2img: its controls, the line under them, and the way back from infotext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.plan import plan_redraw
from lib_upscale.redrawing.tiles.grid import LATENT
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import rules as hires_rules
from lib_upscale.webui.hires_fix.second_pass import DEFAULTS, PREFIX, TITLE, HiresRequest
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.hires_fix.tiles import tiles_settings
from lib_upscale.webui.host import base_model
from lib_upscale.webui.host.page import input_accordion
from lib_upscale.webui.ui.plan_line import line_of
from lib_upscale.webui.ui.redraw_controls import SHOWN, fold, maker_of, plain, restored, row
from lib_upscale.webui.upscalers import registry

__all__ = ["FIELDS", "HOST_CONTROLS", "HiresPage", "parse_request", "plan_summary"]

_ID = "upscale_plus_hires"
_FOLDED = (
    ("vae", "shift", "batch_size"), ("order", "mode", "blend"), ("color_lock", "skip_flat", "flat_strength"),
    ("prompt_source", "tile_prompt"), ("regions",), ("seam_pass",),
)  # fmt: skip

FIELDS = ("enabled", *SHOWN, *(name for names in _FOLDED for name in names))
"""The section's arguments by position."""

HOST_CONTROLS = {
    "txt2img_width": "width", "txt2img_height": "height", "txt2img_hr-checkbox": "enable_hr",
    "txt2img_hr_scale": "hr_scale", "txt2img_hr_resize_x": "hr_resize_x", "txt2img_hr_resize_y": "hr_resize_y",
    "txt2img_hr_upscaler": "hr_upscaler", "txt2img_sampling": "sampler_name", "hr_sampler": "hr_sampler_name",
    "hr_checkpoint": "hr_checkpoint_name",
}  # fmt: skip
"""The host's components that the line depends on, by their ids."""


def parse_request(values: Sequence[Any]) -> HiresRequest:
    """What the section's arguments say: by position, or one dictionary by name. Raises `SettingsError`."""
    if values and isinstance(values[0], dict):
        return HiresRequest.of(values[0])
    given = dict(zip(FIELDS, values, strict=False))
    return HiresRequest.of({"enabled": bool(given.get("enabled")), **plain(given, FIELDS[1:])})


class HiresPage:
    """The section's controls on the page that is being built."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self._line: Any = None

    def build(self) -> list[Any]:
        """Make them, in the order of `FIELDS`."""
        maker = maker_of(_ID)
        found = self.inputs
        with input_accordion(False, label=TITLE, elem_id=_ID) as enabled:
            found["enabled"] = enabled
            found.update(row(maker, SHOWN, DEFAULTS))
            found.update(fold(maker, _ID, _FOLDED))
            self._line = gr.HTML("", elem_id=f"{_ID}_plan", elem_classes=["upscale-plus-plan"])
        return [found[name] for name in FIELDS]

    def infotext_fields(self) -> list[tuple[Any, Any]]:
        """(component, how to find its value in a picture's parameters) for pasting."""
        return [(self.inputs[name], _restorer(name)) for name in FIELDS]

    def connect(self, theirs: Mapping[str, Any]) -> None:
        """Have the line follow the controls and the host's: `theirs` are those of `HOST_CONTROLS` by their names."""
        names = list(theirs)
        inputs = [*theirs.values(), *(self.inputs[name] for name in FIELDS)]

        def line(*values: Any) -> str:
            return plan_summary(dict(zip(names, values, strict=False)), values[len(names) :])

        for component in inputs:
            component.change(line, inputs=inputs, outputs=[self._line], show_progress=False)


def plan_summary(theirs: Mapping[str, Any], values: Sequence[Any]) -> str:
    """The line under the controls: what the second pass will do, or why it can't. Never raises."""
    return line_of(lambda: _plan(theirs, values))


def _plan(theirs: Mapping[str, Any], values: Sequence[Any]) -> str:
    request = parse_request(values)
    if not request.enabled:
        return ""
    if not theirs.get("enable_hr", True):
        raise SettingsError("Hires fix is off", "open it: this section changes how its second pass is done")
    p = SimpleNamespace(**{**dict.fromkeys(HOST_CONTROLS.values()), **theirs})
    hires_rules.check(p, request.settings)
    if not hires_rules.is_latent(p):
        registry.check(p.hr_upscaler)
    size = hires_rules.size_of(p)
    native = base_model.native_side(_checkpoint(p.hr_checkpoint_name))
    start = f"{Size(int(p.width), int(p.height))} -> {size.final}"
    notes = hires_rules.notes(p, request.settings)
    return f"{'. '.join([f'{start}: {_described(request.settings, size, native)}', *notes])}."


def _described(settings: RedrawSettings, size: HiresSize, native: int) -> str:
    canvas = size.canvas if settings.method is RedrawMethod.JOINT else size.final
    plan = plan_redraw(canvas, tiles_settings(settings), native=native, multiple=LATENT, strength=1.0)
    return plan.describe().partition(", ")[2]


def _checkpoint(name: Any) -> str | None:
    return None if name in (None, "", "Use same checkpoint") else str(name)


def _restorer(name: str) -> Any:
    def from_text(parameters: Mapping[str, str]) -> Any:
        if PREFIX not in parameters:
            # A picture made without the section switches it off; the rest stays as the person left it.
            return gr.update(value=False) if name == "enabled" and "Hires upscaler" in parameters else gr.update()
        if name == "enabled":
            return gr.update(value=True)
        settings = RedrawSettings.from_infotext(parameters, PREFIX).changed(method=RedrawMethod(parameters[PREFIX]))
        return gr.update(value=restored(settings, name))

    return from_text
