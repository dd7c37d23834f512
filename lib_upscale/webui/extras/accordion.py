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
from lib_upscale.webui.ui.follower import Follower
from lib_upscale.webui.ui.open_tab import find_tabs, open_tab_script, parse_open_tab
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.engine import model_list

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["Accordion", "UpscalerList"]

_PREFIX = "upscale_plus_extras"
_TABS = "mode_extras"
"""Id of the tabs for one image, for several and for a folder."""
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
        self._open_tab: Component = None
        self._line_follower: Follower | None = None
        self._image_follower: Follower | None = None

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
            self._size, self._open_tab = gr.State(None), gr.Textbox("", visible=False)
            self._line_follower = Follower(self._prefix)
            self._image_follower = Follower(f"{self._prefix}_image")
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
        images: Sequence[Component] = (),
        builtin_controls: Mapping[str, Component] = _NO_CONTROLS,
        other_lists: Sequence[UpscalerList] = (),
    ) -> None:
        """Have the line follow the image and all controls, and the lists the files in the folders.

        Args:
            images: The image of the page; then what lies in its other tabs.
            builtin_controls: Name of a control of the host's accordion -> its component.
            other_lists: Lists that the refresh button and a new page fill too.
        """
        assert self._controls is not None
        assert self._line_follower is not None
        assert self._image_follower is not None
        builtin_names = [name for name in CONTROL_NAMES if name in builtin_controls]
        names = list(self.inputs)

        def line(size: tuple[int, int] | None, open_tab: str, *values: object) -> str:
            host_values = dict(zip(builtin_names, values[: len(builtin_names)], strict=True))
            own_values = dict(zip(names, values[len(builtin_names) :], strict=True))
            tab = parse_open_tab(open_tab)
            is_batch = tab is not None and "batch" in tab.elem_id
            return plan_summary(size, host_values, own_values, in_generation=self._in_generation, is_batch=is_batch)

        follower = self._line_follower
        inputs = [*(builtin_controls[name] for name in builtin_names), *self.inputs.values()]
        follower.answer(line, [self._size, self._open_tab, *inputs], [self._line], open_tab_script(_TABS))
        follower.listen(*(component.change for component in inputs), *(t.select for t in find_tabs(images, _TABS)))
        if images:
            self._image_follower.answer(_size_of, [images[0]], [self._size], next_one=follower)
            self._image_follower.listen(images[0].change)
        own_lists = self._controls.model_lists

        def refresh(*chosen: object) -> list[object]:
            registry.refresh()
            return lists(chosen)

        def refresh_if_changed(*chosen: object) -> list[object]:
            # A page that is opened should not look through network shares: the button does.
            registry.refresh(only_if_changed=True)
            return lists(chosen)

        def lists(chosen: Sequence[object]) -> list[object]:
            own = upscale_controls.refresh_lists(model_list.upscalers(), chosen)
            return [*own, *(gr.update(choices=other.choices()) for other in other_lists)]

        event: dict[str, Any] = {
            "inputs": own_lists,
            "outputs": [*own_lists, *(other.component for other in other_lists)],
            "show_progress": False,
        }
        # A file that came meanwhile is there when somebody opens the accordion or the page, and at the button.
        events = [when(refresh, **event) for when in (self._controls.refresh.click, self.inputs["enabled"].change)]
        for answered in (*events, page.on_page_load(refresh_if_changed, **event)):
            answered.then(None, **follower.script)


def _size_of(image: object) -> tuple[int, int] | None:
    return image.size if isinstance(image, Image.Image) else None
