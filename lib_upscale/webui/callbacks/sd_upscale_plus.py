"""What the script file of "SD upscale plus" connects to the host, and all of it undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib_upscale.errors import UpscalePlusError
from lib_upscale.webui.api import redraw as redraw_api
from lib_upscale.webui.host import console
from lib_upscale.webui.host.page import is_canvas_of_parts
from lib_upscale.webui.host.refuse import fail_at_start
from lib_upscale.webui.sd_upscale import axes as redraw_axes
from lib_upscale.webui.sd_upscale import job as redraw
from lib_upscale.webui.sd_upscale.job import TITLE
from lib_upscale.webui.sd_upscale.page import FIELDS, HOST_CONTROLS, RedrawPage, parse_request
from lib_upscale.webui.sd_upscale.source import OTHERS

__all__ = ["TITLE", "Glue"]


class Glue:
    """The script on the page of now."""

    def __init__(self) -> None:
        self._page: RedrawPage | None = None
        self._script: Any = None
        self._theirs: dict[str, Any] = {}
        self._pictures: list[Any] = []
        self._awaits_canvas = False

    def before(self) -> None:
        """The page is about to be built."""
        redraw_axes.AXES.add()

    def build(self, script: Any) -> list[Any]:
        """Make the controls of `script`. The host's API asks for them again: only a page's are connected."""
        page = RedrawPage()
        made = page.build()
        script.infotext_fields = page.infotext_fields()
        script.paste_field_names = []
        if self._page is None:
            self._page, self._script = page, script
        return made

    def component(self, component: Any, **arguments: Any) -> None:
        """A component has been made somewhere on the page."""
        name = arguments.get("elem_id") or getattr(component, "elem_id", None)
        if name == "img2img_image" and is_canvas_of_parts(component):
            self._awaits_canvas = True  # Forge: a canvas of several parts, of which the picture comes later
        elif self._awaits_canvas and "logical_image_background" in (getattr(component, "elem_classes", None) or []):
            self._awaits_canvas = False
            self._theirs.setdefault("image", component)
        elif name in HOST_CONTROLS:
            self._theirs.setdefault(HOST_CONTROLS[name], component)
        elif name in OTHERS:
            self._pictures.append(component)
        elif name == "html_info_img2img" and self._page is not None and self._theirs:
            theirs, pictures, self._theirs, self._pictures = self._theirs, self._pictures, {}, []
            self._page.connect(theirs, [*pictures, component])

    def started(self, app: Any) -> None:
        """The server runs."""
        redraw_api.add_route(app)

    def run(self, p: Any, values: Sequence[Any]) -> Any:
        """Redraw what is in img2img."""
        try:
            return redraw.run(p, parse_request(dict(zip(FIELDS, values, strict=False))))
        except UpscalePlusError as error:
            console.say(str(error))
            raise

    def cell(self, p: Any) -> None:
        """One cell of an X/Y/Z plot."""
        if self._script is None:
            return
        try:
            redraw_axes.redraw_cell(p, self._script)
        except UpscalePlusError as error:
            fail_at_start(p, error, TITLE)

    def unloaded(self) -> None:
        """The extension is being unloaded."""
        redraw_axes.AXES.remove()
