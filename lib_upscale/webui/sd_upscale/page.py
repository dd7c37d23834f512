"""The controls of the script "SD upscale plus", the line under them, and the way back from infotext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import gradio as gr

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.plan import RedrawPlan, plan_redraw
from lib_upscale.redrawing.skip_forecast import likely_skipped
from lib_upscale.redrawing.tiles.grid import LATENT
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.host import base_model
from lib_upscale.webui.host.page import javascript
from lib_upscale.webui.sd_upscale.request import PREFIX, TITLE, RedrawRequest
from lib_upscale.webui.sd_upscale.resuming import count_unfinished
from lib_upscale.webui.sd_upscale.source import OPEN_TAB_SCRIPT, Source, describe_image, find_tabs, parse_open_tab
from lib_upscale.webui.sd_upscale.timings import seconds_per_megapixel
from lib_upscale.webui.tiled_sampling.samplers import check_sampler
from lib_upscale.webui.ui.plan_line import line_of
from lib_upscale.webui.ui.redraw_controls import SHOWN, fold, maker_of, plain, restored, row
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.enlarger import resolve_name

__all__ = ["FIELDS", "HOST_CONTROLS", "RedrawPage", "parse_request", "plan_summary", "target_of"]

_ID = "upscale_plus_redraw"
_FORETOLD = 16_000_000
"""Pixels of the result up to which flat tiles are looked for while the person waits for the line."""


class Target(str, Enum):
    """What the size of the result is given by. The values are what a person chooses from."""

    FACTOR = "Factor"
    BOX = "Width x height"
    LONGEST = "Longest side"


_TARGETS: Mapping[Target, tuple[str, ...]] = {
    Target.FACTOR: ("scale",),
    Target.BOX: ("width", "height", "fit", "anchor"),
    Target.LONGEST: ("longest",),
}
_FIRST: Mapping[str, Any] = {"scale": 2.0, "width": 1920, "height": 1080, "longest": 2048}
_TIPS = {
    "target": "What the size of the result is given by. Width and height of img2img itself do not matter here.",
    "test": "Redraws one tile only and shows it at its full size, to try strength and prompt before a long run.",
    "test_tile": "Which tile to test, counted by rows from 1. 0 is the middle one.",
}
_FOLDED = (
    ("vae", "shift"), ("order", "mode", "blend"), ("color_lock", "skip_flat", "flat_strength"),
    ("passes", "strengths"), ("prompt_source", "tile_prompt"), ("regions",),
    ("seam_pass", "save_upscaled", "resume", "mask_padding"),
)  # fmt: skip
"""The settings that are folded away. `batch_size` is img2img's own."""

FIELDS = (
    "upscaler", "target", *(n for t in _TARGETS.values() for n in t), *SHOWN, *(n for r in _FOLDED for n in r), "test",
    "test_tile",
)  # fmt: skip
"""The script's arguments by position."""

HOST_CONTROLS = {
    "img2img_image": "image", "img2img_steps": "steps", "img2img_denoising_strength": "strength",
    "img2img_sampling": "sampler",
}  # fmt: skip
"""The host's components that the line depends on, by their ids."""


def parse_request(values: Mapping[str, Any]) -> RedrawRequest:
    """What the controls say. A value that is missing or None is the setting's default. Raises `SettingsError`."""
    target = Target(values.get("target") or Target.FACTOR)
    unused = {name for kind, names in _TARGETS.items() if kind is not target for name in names}
    names = [name for name in options(RedrawSettings) if name in FIELDS and name not in unused]
    settings = RedrawSettings.from_dict(plain(values, names))
    return RedrawRequest(settings, bool(values.get("test")), int(values.get("test_tile") or 0))


class RedrawPage:
    """The script's controls on the page that is being built."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self._rows: list[Any] = []
        self._line: Any = None

    def build(self) -> list[Any]:
        """Make them, in the order of `FIELDS`."""
        maker = maker_of(_ID, _TIPS)
        found = self.inputs
        with gr.Row():
            found["upscaler"] = maker.choice("upscaler", registry.names(), resolve_name(""))
            found["target"] = maker.choice("target", [each.value for each in Target], Target.FACTOR.value, "Target")
        for target, names in _TARGETS.items():
            with gr.Row(visible=target is Target.FACTOR) as line:
                self._rows.append(line)
                for name in names:
                    found[name] = maker.number(name, _FIRST[name]) if name in _FIRST else maker.setting(name)
        found.update(row(maker, SHOWN))
        found.update(fold(maker, _ID, _FOLDED))
        with gr.Row():
            found["test"] = maker.check("test", "Test one tile", False)
            found["test_tile"] = maker.plain_number("test_tile", "Tile to test", 0)
        self._line = gr.HTML("", elem_id=f"{_ID}_plan", elem_classes=["upscale-plus-plan"])
        found["target"].change(_shown_rows, inputs=[found["target"]], outputs=self._rows, show_progress=False)
        return [found[name] for name in FIELDS]

    def infotext_fields(self) -> list[tuple[Any, Any]]:
        """(component, how to find its value in a picture's parameters) for "PNG info -> send to img2img"."""
        return [(self.inputs[name], _restorer(name)) for name in FIELDS if name not in ("test", "test_tile")]

    def connect(self, theirs: Mapping[str, Any], pictures: Sequence[Any] = ()) -> None:
        """Have the line follow the controls and the host's: `theirs` are those of `HOST_CONTROLS` by their names.

        `pictures` are those of `source.IMAGE_IDS`, and where the host tells of a result: then the time is known.
        """
        first, where = gr.State(None), gr.Textbox("", visible=False)
        names = [name for name in theirs if name != "image"]
        inputs = [*(theirs[name] for name in names), *(self.inputs[name] for name in FIELDS)]

        def line(known: Source | None, told: str, *values: Any) -> str:
            host_values = dict(zip(names, values[: len(names)], strict=True))
            source = parse_open_tab(told, known or Source())
            return plan_summary(source, host_values, dict(zip(FIELDS, values[len(names) :], strict=True)))

        def picture_changed(picture: Any, told: str, *values: Any) -> tuple[Source, str]:
            known = describe_image(picture)
            return known, line(known, told, *values)

        if "image" in theirs:
            theirs["image"].change(
                picture_changed, inputs=[theirs["image"], where, *inputs], outputs=[first, self._line],
                show_progress=False, **javascript(OPEN_TAB_SCRIPT),
            )  # fmt: skip
        tabs = find_tabs([*pictures, *([theirs["image"]] if "image" in theirs else [])])
        for happens in [*(c.change for c in inputs), *map(_arrives, pictures), *(tab.select for tab in tabs)]:
            happens(
                line, inputs=[first, where, *inputs], outputs=[self._line], show_progress=False,
                **javascript(OPEN_TAB_SCRIPT),
            )  # fmt: skip


def _arrives(picture: Any) -> Any:
    """The event of a new picture. gradio 3 lets a picture with a mask "change" whenever the page is drawn anew, which
    the answer to that event does: the page would never come to rest."""
    return picture.upload if hasattr(picture, "upload") else picture.change


def plan_summary(source: Source, theirs: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The line under the controls: what will happen, or why it can't. Never raises."""
    return line_of(lambda: _plan(source, theirs, values))


def _plan(source: Source, theirs: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    request = parse_request(values)
    check_sampler(theirs.get("sampler"))
    resolve_name(request.settings.upscaler)
    if source.batch:
        return "Every picture of the batch gets its own size and tiles. img2img's own width and height are ignored."
    if source.size is None:
        return "Put a picture into img2img, and this line says what size it will get and in how many tiles."
    strength = float(theirs.get("strength") or 0.0)
    size = Size(*source.size)
    plan = plan_redraw(size, request.settings, native=base_model.native_side(), multiple=LATENT, strength=strength)
    skipped = _foretold(source, plan)
    rate = seconds_per_megapixel(base_model.selected_name(), int(theirs.get("steps") or 20), strength)
    text = f"{size} -> {plan.describe(skipped, rate)}. img2img's own width and height are ignored"
    if source.masked:
        text += "; only the tiles that the mask touches are redrawn"
    if request.settings.skip_flat > 0 and skipped is None:
        text += "; how many flat tiles are skipped is known once it is enlarged"
    if count := count_unfinished():
        redraws = "1 redraw is" if count == 1 else f"{count} redraws are"
        text += f"; {redraws} unfinished, the same image with the same settings is resumed"
    return f"{text}."


def _foretold(source: Source, plan: RedrawPlan) -> int | None:
    """How many tiles are going to be skipped, as far as that can be told fast enough for a line of text."""
    if plan.settings.skip_flat <= 0 or source.brightness is None or plan.output.pixels > _FORETOLD:
        return None
    return likely_skipped(source.brightness, plan)


def _shown_rows(chosen: str | None) -> list[Any]:
    return [gr.update(visible=target.value == chosen) for target in _TARGETS]


def _restorer(name: str) -> Any:
    def from_text(parameters: Mapping[str, str]) -> Any:
        if parameters.get("Script") != TITLE:
            return gr.update()
        return gr.update(value=_restored(name, parameters))

    return from_text


def _restored(name: str, parameters: Mapping[str, str]) -> Any:
    """The value of a control for a picture made by this script; what it does not name was left at its default."""
    settings = RedrawSettings.from_infotext(parameters, PREFIX)
    if name == "target":
        return target_of(settings).value
    return restored(settings, name, _FIRST.get(name))


def target_of(settings: RedrawSettings) -> Target:
    """What the size is given by."""
    if settings.longest is not None:
        return Target.LONGEST
    return Target.FACTOR if settings.width is None and settings.height is None else Target.BOX
