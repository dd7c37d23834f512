"""What the script file of "Hires fix plus" connects to the host, and all of it undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib_upscale.errors import UpscalePlusError
from lib_upscale.webui.hires_fix import axes as hires_axes
from lib_upscale.webui.hires_fix import second_pass as hires
from lib_upscale.webui.hires_fix.page import HOST_CONTROLS, HiresPage, parse_request
from lib_upscale.webui.hires_fix.second_pass import TITLE
from lib_upscale.webui.host.refuse import clear_failure, fail_at_start

__all__ = ["TITLE", "HiresGlue"]


class HiresGlue:
    """The section on the page of now."""

    def __init__(self) -> None:
        self._page: HiresPage | None = None
        self._theirs: dict[str, Any] = {}

    def before(self) -> None:
        """The page is about to be built."""
        hires_axes.AXES.add()

    def build(self, script: Any) -> list[Any]:
        """Make the controls of `script`. The host's API asks for them again: only a page's are connected."""
        page = HiresPage()
        made = page.build()
        script.infotext_fields = page.infotext_fields()
        script.paste_field_names = []
        if self._page is None:
            self._page = page
        return made

    def component(self, component: Any, **arguments: Any) -> None:
        """A component has been made somewhere on the page."""
        name = arguments.get("elem_id") or getattr(component, "elem_id", None)
        if name in HOST_CONTROLS:
            self._theirs.setdefault(HOST_CONTROLS[name], component)
        elif name == "txt2img_gallery" and self._page is not None and self._theirs:
            theirs, self._theirs = self._theirs, {}
            self._page.connect(theirs)

    def process(self, p: Any, values: Sequence[Any]) -> None:
        """A generation begins."""
        clear_failure(p, TITLE)
        try:
            hires.install(p, hires_axes.with_axes(p, parse_request(values)))
        except UpscalePlusError as error:
            fail_at_start(p, error, TITLE)

    def unloaded(self) -> None:
        """The extension is being unloaded."""
        hires_axes.AXES.remove()
