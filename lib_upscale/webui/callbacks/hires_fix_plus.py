"""Callbacks registered by scripts/hires_fix_plus.py, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lib_upscale.errors import UpscalePlusError
from lib_upscale.webui.hires_fix import axes, second_pass
from lib_upscale.webui.hires_fix.page import HOST_CONTROLS, HiresPage, parse_request
from lib_upscale.webui.hires_fix.second_pass import TITLE
from lib_upscale.webui.host.protocols import HostScript, HostTxt2Img
from lib_upscale.webui.host.refuse import build_or_report, clear_failure, fail_at_start

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["TITLE", "HiresFixPlusCallbacks"]


class HiresFixPlusCallbacks:
    """The host's events, in the order in which it calls them. Events of the page are connected once all parts exist."""

    def __init__(self) -> None:
        self._page: HiresPage | None = None
        self._host_controls: dict[str, Component] = {}

    def before_ui(self) -> None:
        """Add axes to the X/Y/Z plot before the page is built."""
        axes.AXES.add()

    def build_controls(self, script: HostScript) -> list[Component]:
        """Make the controls of a script, or none if that fails."""
        return build_or_report(partial(self._build_controls, script), TITLE)

    def _build_controls(self, script: HostScript) -> list[Component]:
        """The host's API asks for them again: only the page's are connected."""
        page = HiresPage()
        components = page.build()
        script.infotext_fields = page.infotext_fields()
        script.paste_field_names = []
        if self._page is None:
            self._page = page
        return components

    def after_component(self, component: Component, **arguments: object) -> None:
        """Take note of a component that was made anywhere on the page."""
        elem_id = arguments.get("elem_id") or getattr(component, "elem_id", None)
        if elem_id in HOST_CONTROLS:
            self._host_controls.setdefault(HOST_CONTROLS[elem_id], component)
        elif elem_id == "txt2img_gallery" and self._page is not None and self._host_controls:
            controls, self._host_controls = self._host_controls, {}
            self._page.connect(controls)

    def process(self, p: HostTxt2Img, values: Sequence[Any]) -> None:
        """Replace the second pass of a generation before anything is computed."""
        clear_failure(p, TITLE)
        try:
            second_pass.install(p, axes.with_axes(p, parse_request(values)))
        except UpscalePlusError as error:
            fail_at_start(p, error, TITLE)

    def process_batch(self, p: HostTxt2Img) -> None:
        """Lay both passes of a batch on the bar."""
        second_pass.begin_batch(p)

    def unload(self) -> None:
        """Take the axes out of the X/Y/Z plot."""
        axes.AXES.remove()
