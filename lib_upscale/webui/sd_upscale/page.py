"""The controls of the script "SD upscale plus", the line under them, and the way back from infotext."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import RedrawPlan, count_masked, likely_skipped, plan_redraw
from lib_upscale.redrawing.tiles import Plane
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.settings.target import TargetKind
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.page import controlnet_switches, count_switched_on
from lib_upscale.webui.sd_upscale.ignored import ORIGINAL, ignored
from lib_upscale.webui.sd_upscale.img2img_input import prepare_mask
from lib_upscale.webui.sd_upscale.plan_time import describe_time
from lib_upscale.webui.sd_upscale.request import PREFIX, TITLE, RedrawRequest
from lib_upscale.webui.sd_upscale.resuming import count_unfinished
from lib_upscale.webui.sd_upscale.source import MOST_KEPT, TABS, Source, describe_image, source_in
from lib_upscale.webui.tiled_sampling.prompt_checks import check_prompts, host_choices, without_lacking
from lib_upscale.webui.tiled_sampling.samplers import check_sampler
from lib_upscale.webui.ui.control_factory import ControlFactory, show_target_rows
from lib_upscale.webui.ui.follower import Follower
from lib_upscale.webui.ui.open_tab import find_tabs, open_tab_script, parse_open_tab
from lib_upscale.webui.ui.plan_line import Line, automatic_values, describe_automatic, make_line, tiles_of
from lib_upscale.webui.ui.values import control_value, offered, read_controls, target_kinds, target_values
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.enlarger import resolve_name

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["FIELDS", "HOST_CONTROLS", "RedrawPage", "parse_request", "plan_summary", "target_of"]

_ID = "upscale_plus_redraw"


_HIGH_STRENGTH = 0.45
"""Denoising strength above which tiles without a ControlNet no longer keep to the image."""
_TEST_TIP = "Redraws one tile only and shows it at full size, to try strength and prompt before a long run."
_TEST_TILE_TIP = "Which tile to test, counted by rows from 1. 0 is the one in the center."

_OFFERED = offered(RedrawSettings, Page.SCRIPT)
FIELDS = ("target", *_OFFERED, "test", "test_tile")
"""The script's arguments by position."""

HOST_CONTROLS = {
    "img2img_image": "image",
    "img2img_steps": "steps",
    "img2img_denoising_strength": "strength",
    "img2img_sampling": "sampler",
    "img2img_batch_count": "images",
    "img2img_batch_size": "batch_size",
    "img2img_inpainting_fill": "masked_content",
    "soft_inpainting_enabled-checkbox": "soft_inpainting",
    "img2img_mask_mode": "mask_mode",
    "img2img_mask_blur": "mask_blur",
    **controlnet_switches("img2img"),
}
"""The host's components that the line depends on, by their ids."""


def parse_request(values: Mapping[str, Any]) -> RedrawRequest:
    """What the controls say. A value that is missing or None is the setting's default. Raises `SettingsError`."""
    kind = TargetKind(values.get("target") or TargetKind.FACTOR)
    settings = {name: value for name, value in values.items() if name in _OFFERED}
    plain = read_controls(RedrawSettings, target_values(RedrawSettings, settings, kind))
    return RedrawRequest(RedrawSettings.from_dict(plain), bool(values.get("test")), int(values.get("test_tile") or 0))


class RedrawPage:
    """The script's controls on the page that is being built."""

    def __init__(self) -> None:
        self.inputs: dict[str, Component] = {}
        self._line: Any = None
        self._line_follower: Follower | None = None
        self._image_follower: Follower | None = None

    def build(self) -> list[Component]:
        """Make them, in the order of `FIELDS`."""
        upscalers = [name for name, item in _OFFERED.items() if item.names_model]
        factory = ControlFactory(
            _ID,
            RedrawSettings,
            {**dict.fromkeys(upscalers, registry.names()), **host_choices()},
            dict.fromkeys(upscalers, resolve_name("")),
        )
        inputs = self.inputs
        with gr.Row():
            inputs.update({name: factory.setting(name) for name in upscalers})
            inputs["target"] = factory.choice(
                "target",
                "Target",
                "How the output size is given. Width and height of img2img itself do not matter here.",
                [kind.value for kind in target_kinds(RedrawSettings)],
                TargetKind.FACTOR.value,
            )
        targets, rows = factory.targets(RedrawSettings)
        inputs.update(targets)
        items = [item for item in _OFFERED.values() if item.name not in inputs]
        inputs.update(factory.rows(item for item in items if not item.group.folded))
        with factory.fold():
            inputs.update(factory.rows(item for item in items if item.group.folded))
        with gr.Row():
            inputs["test"] = factory.check("test", "Test one tile", _TEST_TIP, False)
            inputs["test_tile"] = factory.number("test_tile", "Tile to test", _TEST_TILE_TIP, 0)
        self._line = gr.HTML("", elem_id=f"{_ID}_plan", elem_classes=["upscale-plus-plan"])
        self._line_follower, self._image_follower = Follower(_ID), Follower(f"{_ID}_image")
        inputs["target"].change(_show_rows, inputs=[inputs["target"]], outputs=rows, show_progress=False)
        return [inputs[name] for name in FIELDS]

    def infotext_fields(self) -> list[tuple[Component, Callable[[Mapping[str, str]], object]]]:
        """(component, how to find its value in an image's parameters) for "PNG info -> send to img2img"."""
        return [(self.inputs[name], _restorer(name)) for name in ("target", *_OFFERED)]

    def connect(self, host_controls: Mapping[str, Component], images: Sequence[Component] = ()) -> None:
        """Have the line follow the controls and the host's.

        Args:
            host_controls: Those of `HOST_CONTROLS`, by their names.
            images: Those of `source.IMAGE_IDS`, and one that changes with a result: then the time is known. None of
                them is a `gr.HTML`: with gradio 4 that "changes" whenever it is drawn, and so without end.
        """
        assert self._line_follower is not None
        assert self._image_follower is not None
        first, where = gr.State(None), gr.Textbox("", visible=False)
        names = [name for name in host_controls if name != "image"]
        inputs = [*(host_controls[name] for name in names), *(self.inputs[name] for name in FIELDS)]

        def line(known: Source | None, open_tab: str, *values: object) -> str:
            host_values = dict(zip(names, values[: len(names)], strict=True))
            source = source_in(parse_open_tab(open_tab), known or Source())
            return plan_summary(source, host_values, dict(zip(FIELDS, values[len(names) :], strict=True)))

        follower = self._line_follower
        follower.answer(line, [first, where, *inputs], [self._line], open_tab_script(TABS))
        image = host_controls.get("image")
        if image is not None:
            self._image_follower.answer(describe_image, [image], [first], next_one=follower)
            self._image_follower.listen(image.change)
        tabs = find_tabs([*images, *([] if image is None else [image])], TABS)
        follower.listen(*(c.change for c in inputs), *map(_arrival, images), *(tab.select for tab in tabs))


def _arrival(image: Component) -> Callable[..., object]:
    """The event of a new image.

    gradio 3 lets an image with a mask "change" whenever the page is drawn anew, which the answer to that event does:
    the page would never come to rest.
    """
    upload: Callable[..., object] | None = getattr(image, "upload", None)
    return upload or image.change


def plan_summary(source: Source, host_values: Mapping[str, object], values: Mapping[str, object]) -> str:
    """The line under the controls: what will happen, or why it can't. Never raises."""
    return make_line(lambda: _plan(source, host_values, values)).to_html()


def _plan(source: Source, host_values: Mapping[str, Any], values: Mapping[str, object]) -> Line:
    request = parse_request(values)
    check_sampler(host_values.get("sampler"))
    check_prompts(request.settings)
    upscaler = resolve_name(request.settings.upscaler)
    registry.check(upscaler)
    if source.batch:
        return Line("Every image of the batch gets its own size and tiles. img2img's own width and height are ignored.")
    if source.size is None:
        return Line("Put an image into img2img to see the output size and the tiles.")
    strength = float(host_values.get("strength") or 0.0)
    size, settings = Size(*source.size), request.settings
    mask = _mask(source, host_values)
    sides = base_model.sides_of()._asdict()
    plan = plan_redraw(size, settings, **sides, strength=strength, mask=mask)
    if request.test:
        plan = plan_redraw(size, request.effective_settings(), **sides, strength=strength, mask=mask)
        request.check_test_tile(plan.passes[-1].grid)
    skipped = None if request.test else _forecast(source, plan)
    touched = None if mask is None else count_masked(mask, plan)
    time = describe_time(
        plan,
        checkpoint=base_model.selected_name(),
        sampler=host_values.get("sampler"),
        steps=int(host_values.get("steps") or 20),
        upscaler=upscaler,
        images=int(host_values.get("images") or 1),
        batch_size=1 if source.masked else int(host_values.get("batch_size") or 1),
        painted=touched or [len(step.grid.tiles) * (1 - (skipped or 0) / plan.tiles) for step in plan.passes],
        units=count_switched_on(host_values),
        is_test=request.test,
        is_mask_unknown=source.masked and touched is None,
    )
    automatic = automatic_values(settings, tiles_of(plan.passes[-1]))
    if request.test:
        grid = plan.passes[-1].grid
        number = request.tiles_to_test(grid)[0].index + 1
        text = f"Test of tile {number} of {len(grid.tiles)}, {grid.tile}" + (f", {time}" if time else "")
    else:
        text = f"{size} -> {plan.describe(skipped, time)}{describe_automatic(settings, automatic)}"
    text += ". img2img's own width and height are ignored"
    if source.masked:
        text += f"; {_describe_mask(source, plan, touched)}"
    if settings.skip_flat > 0 and skipped is None and not request.test:
        text += "; the number of skipped tiles is known after upscaling"
    if hint := _strength_hint([step.strength for step in plan.passes]):
        text += f"; {hint}"
    if count := count_unfinished():
        jobs = f"{count} unfinished job{'s' if count > 1 else ''}"
        text += f"; {jobs}: generating the same image with the same settings and seed resumes it"
    return Line(f"{'. '.join([text, *_ignored(source, host_values)])}.", automatic=automatic)


def _mask(source: Source, host_values: Mapping[str, Any]) -> Plane | None:
    """The mask as the run will read it, if it is known; of a large image, that of a smaller copy."""
    if source.size is None or source.mask is None:
        return None
    size = Size(*source.size)
    smaller = max(1.0, math.sqrt(size.pixels / MOST_KEPT))
    blur, inverted = float(host_values.get("mask_blur") or 0) / smaller, bool(host_values.get("mask_mode"))
    width, height = (math.ceil(side / smaller) for side in size)
    mask = prepare_mask(source.mask.plane(width, height), blur, inverted=inverted)
    return mask if mask.any() else None


def _describe_mask(source: Source, plan: RedrawPlan, touched: Sequence[int] | None) -> str:
    if touched is not None and plan.settings.method is RedrawMethod.TILES:
        return f"the mask touches {sum(touched)} of {plan.tiles} tiles, which are redrawn"
    if touched is None and source.mask is not None and not source.mask.cells.any():
        return "nothing is masked yet"
    return "only the tiles that the mask touches are redrawn"


def _ignored(source: Source, host_values: Mapping[str, Any]) -> list[str]:
    content = host_values.get("masked_content")
    return ignored(
        batch_size=int(host_values.get("batch_size") or 1),
        masked_content=int(content) if source.masked and content is not None else ORIGINAL,
        soft=source.masked and bool(host_values.get("soft_inpainting")),
        tiling=environment.option("tiling", False),
    )


def _strength_hint(strengths: Sequence[float]) -> str:
    """What to say of a denoising strength that tiles rarely want."""
    if min(strengths) <= 0:
        return "denoising strength 0 redraws nothing"
    if max(strengths) > _HIGH_STRENGTH:
        return (
            f"denoising strength {max(strengths):g} lets each tile draw something of its own: "
            "0.2 to 0.4 keeps the image, more needs ControlNet tile"
        )
    return ""


def _forecast(source: Source, plan: RedrawPlan) -> int | None:
    """How many tiles are going to be skipped, if that is known fast enough for a line of text."""
    if plan.settings.skip_flat <= 0 or source.gray is None or plan.output.pixels > MOST_KEPT:
        return None
    return likely_skipped(source.gray.astype(np.float32) / np.float32(255), plan)


def _show_rows(chosen: str | None) -> list[object]:
    return show_target_rows(RedrawSettings, chosen)


def _restorer(name: str) -> Callable[[Mapping[str, str]], object]:
    def from_text(parameters: Mapping[str, str]) -> object:
        if parameters.get("Script") != TITLE:
            return gr.update()
        return gr.update(value=_restore(name, parameters))

    return from_text


def _restore(name: str, parameters: Mapping[str, str]) -> object:
    """The value of a control for an image made by this script; what it does not name was left at its default."""
    settings = without_lacking(RedrawSettings.from_infotext(parameters, PREFIX))
    return target_of(settings).value if name == "target" else control_value(_OFFERED[name], settings)


def target_of(settings: RedrawSettings) -> TargetKind:
    """How the size is given; by a factor of 2 where it is not."""
    return TargetKind.FACTOR if settings.target_kind is TargetKind.OWN else settings.target_kind
