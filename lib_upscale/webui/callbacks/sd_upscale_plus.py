"""Callbacks registered by scripts/sd_upscale_plus.py, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lib_upscale.errors import UpscalePlusError
from lib_upscale.webui.api import redraw as redraw_api
from lib_upscale.webui.host import console
from lib_upscale.webui.host.page import is_canvas_of_parts
from lib_upscale.webui.host.protocols import HostImg2Img, HostProcessed, HostScript
from lib_upscale.webui.host.refuse import build_or_report, fail_at_start, refused
from lib_upscale.webui.sd_upscale import axes, job
from lib_upscale.webui.sd_upscale.page import FIELDS, HOST_CONTROLS, RedrawPage, parse_request
from lib_upscale.webui.sd_upscale.request import TITLE
from lib_upscale.webui.sd_upscale.source import IMAGE_IDS

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio.components import Component

__all__ = ["TITLE", "SdUpscalePlusCallbacks"]


class SdUpscalePlusCallbacks:
    """The host's events, in the order in which it calls them. Events of the page are connected once all parts exist."""

    def __init__(self) -> None:
        self._page: RedrawPage | None = None
        self._script: HostScript | None = None
        self._host_controls: dict[str, Component] = {}
        self._images: list[Component] = []
        self._awaited_canvas = ""
        """Id of a canvas whose image is made later."""

    def before_ui(self) -> None:
        """Add axes to the X/Y/Z plot before the page is built."""
        axes.AXES.add()

    def build_controls(self, script: HostScript) -> list[Component]:
        """Make the controls of a script, or none if that fails."""
        return build_or_report(partial(self._build_controls, script), TITLE)

    def _build_controls(self, script: HostScript) -> list[Component]:
        """The host's API asks for them again: only the page's are connected."""
        page = RedrawPage()
        components = page.build()
        script.infotext_fields = page.infotext_fields()
        script.paste_field_names = []
        if self._page is None:
            self._page, self._script = page, script
        return components

    def after_component(self, component: Component, **arguments: object) -> None:
        """Take note of a component that was made anywhere on the page."""
        elem_id = arguments.get("elem_id") or getattr(component, "elem_id", None)
        if elem_id in ("img2img_image", *IMAGE_IDS) and is_canvas_of_parts(component):
            self._awaited_canvas = str(elem_id)
        elif self._awaited_canvas and "logical_image_background" in (getattr(component, "elem_classes", None) or []):
            if self._awaited_canvas == "img2img_image":
                self._host_controls.setdefault("image", component)
            else:
                self._images.append(component)
            self._awaited_canvas = ""
        elif elem_id in HOST_CONTROLS:
            self._host_controls.setdefault(HOST_CONTROLS[elem_id], component)
        elif elem_id in IMAGE_IDS:
            self._images.append(component)
        elif elem_id == "generation_info_img2img" and self._page is not None and self._host_controls:
            controls, images, self._host_controls, self._images = self._host_controls, self._images, {}, []
            self._page.connect(controls, [*images, component])

    def app_started(self, app: FastAPI) -> None:
        """Add the API to the host's FastAPI application."""
        redraw_api.add_route(app)

    def run(self, p: HostImg2Img, values: Sequence[object]) -> HostProcessed:
        """Redraw the image of img2img."""
        try:
            if self._page is None:
                raise UpscalePlusError(f"The controls of {TITLE} could not be made: see the console")
            return job.run(p, parse_request(dict(zip(FIELDS, values, strict=False))))
        except UpscalePlusError as error:
            console.say(str(error))
            return refused(p, error)

    def before_process(self, p: HostImg2Img) -> None:
        """Redraw a cell of an X/Y/Z plot along one of our axes."""
        if self._script is None:
            return
        try:
            axes.redraw_cell(p, self._script)
        except UpscalePlusError as error:
            fail_at_start(p, error, TITLE)

    def unload(self) -> None:
        """Take the axes out of the X/Y/Z plot."""
        axes.AXES.remove()
