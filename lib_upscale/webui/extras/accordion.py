"""The accordion "Upscale plus" on the page: its controls, and the events between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from lib_upscale.webui.extras.builtin_upscale import CONTROL_NAMES
from lib_upscale.webui.extras.plan_summary import plan_summary
from lib_upscale.webui.extras.postprocess import NAME
from lib_upscale.webui.host import page
from lib_upscale.webui.ui import upscale_controls
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.engine import model_list

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["Accordion", "UpscalerList"]

_PREFIX = "upscale_plus_extras"
_NO_CONTROLS: Mapping[str, Component] = {}


@dataclass(frozen=True)
class UpscalerList:
    """A list of upscalers elsewhere on the page."""

    component: Component
    choices: Callable[[], list[str]]
    """What it offers now."""


class Accordion:
    """The accordion; one is made each time the page is built.

    Args:
        tab: The host's settings can have it in txt2img and img2img as well: tells those apart and is "" in Extras.
    """

    def __init__(self, tab: str = "") -> None:
        self.inputs: dict[str, Component] = {}
        self._in_generation = bool(tab)
        self._prefix = f"{_PREFIX}_{tab}" if tab else _PREFIX
        self._controls: upscale_controls.Controls | None = None
        self._line: Component = None
        self._size: Component = None

    def build(self) -> dict[str, Component]:
        """Make the components; name of an input -> its component, as the host expects them."""
        with page.input_accordion(False, label=NAME, elem_id=self._prefix) as enabled:
            controls = upscale_controls.build(
                model_list.upscalers(),
                self._prefix,
                for_batches=not self._in_generation,
            )
            self._line = gr.HTML(
                plan_summary(None, None, {}), elem_id=f"{self._prefix}_plan", elem_classes=["upscale-plus-plan"]
            )
            self._size = gr.State(None)
        self._controls = controls
        self.inputs = {"enabled": enabled, **controls.inputs}
        kind, preset_fields = controls.inputs["target_kind"], upscale_controls.preset_fields()
        kind.change(upscale_controls.target_rows, inputs=[kind], outputs=controls.target_rows, show_progress=False)
        controls.preset.change(
            upscale_controls.preset_values,
            inputs=[controls.preset],
            outputs=[controls.inputs[name] for name in preset_fields],
            show_progress=False,
        )
        return self.inputs

    def connect(
        self,
        image: Component | None = None,
        builtin_controls: Mapping[str, Component] = _NO_CONTROLS,
        other_lists: Sequence[UpscalerList] = (),
    ) -> None:
        """Have the line follow the image and all controls, and the lists the files in the folders.

        Args:
            image: The image of the page.
            builtin_controls: Name of a control of the host's accordion -> its component.
            other_lists: Lists that the refresh button and a new page fill too.
        """
        assert self._controls is not None
        builtin_names = [name for name in CONTROL_NAMES if name in builtin_controls]
        names = list(self.inputs)

        def own_values(values: Sequence[object]) -> dict[str, object]:
            return dict(zip(names, values[len(builtin_names) :], strict=True))

        def line(size: tuple[int, int] | None, *values: object) -> str:
            host_values = dict(zip(builtin_names, values[: len(builtin_names)], strict=True))
            return plan_summary(size, host_values, own_values(values), in_generation=self._in_generation)

        def image_changed(image: object, *values: object) -> tuple[tuple[int, int] | None, str]:
            size = image.size if isinstance(image, Image.Image) else None
            return size, line(size, *values)

        def refresh(size: tuple[int, int] | None, *values: object) -> list[object]:
            own_lists = _refresh_lists(own_values(values))
            others = [gr.update(choices=other.choices()) for other in other_lists]
            return [*own_lists, *others, line(size, *values)]

        inputs = [*(builtin_controls[name] for name in builtin_names), *self.inputs.values()]
        if image is not None:
            image.change(image_changed, inputs=[image, *inputs], outputs=[self._size, self._line], show_progress=False)
        for component in inputs:
            if component is not self.inputs["enabled"]:
                component.change(line, inputs=[self._size, *inputs], outputs=[self._line], show_progress=False)
        all_lists = [*self._controls.model_lists, *(other.component for other in other_lists)]
        event: dict[str, Any] = {
            "inputs": [self._size, *inputs],
            "outputs": [*all_lists, self._line],
            "show_progress": False,
        }
        # A file that came meanwhile is there when somebody opens the accordion or the page, and at the button.
        self._controls.refresh.click(refresh, **event)
        self.inputs["enabled"].change(refresh, **event)
        page.on_page_load(refresh, **event)


def _refresh_lists(values: Mapping[str, Any]) -> list[object]:
    """Updates for the accordion's own lists after reading the folders again; a list without a choice gets one."""
    registry.refresh()
    entries = model_list.upscalers()
    updates = [gr.update(choices=choices) for choices in upscale_controls.model_choices(entries)]
    if not upscale_controls.name_of(values.get("model")):
        first = upscale_controls.first_choice(entries)
        updates[0] = gr.update(choices=upscale_controls.titles(entries), value=first)
    return updates
