"""What the scripts connect to the host's callbacks, in the host's own order: page, list, API, and all of it undone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from lib_upscale.webui.api import upscale as api
from lib_upscale.webui.extras import accordion as extras
from lib_upscale.webui.extras import batch
from lib_upscale.webui.host import console
from lib_upscale.webui.host.page import latent_upscalers
from lib_upscale.webui.host.scripts import extras_scripts, is_of_extras
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers import settings_page as options
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["Page", "accordion", "process", "started", "unloaded"]

_LISTS: Mapping[str, Callable[[], list[str]]] = {
    "extras_upscaler_1": registry.names,
    "extras_upscaler_2": registry.names,
    "upscale_plus_redraw_upscaler": registry.names,
    "txt2img_hr_upscaler": lambda: [*latent_upscalers(), *registry.names()],
}
"""Id of a list of upscalers that is filled anew -> what it offers."""


class Page:
    """The page that is being built: it knows the parts that events are tied to once all are there."""

    current: Page | None = None
    """The newest."""

    def __init__(self) -> None:
        Page.current = self
        self._accordion: extras.Accordion | None = None
        self._image: Any = None
        self._lists: dict[str, extras.OtherList] = {}
        self._tabs = 0

    def settings(self) -> None:
        """The settings page is being made."""
        options.add_to_page(self._models_changed, engine.forget_models)

    def before(self) -> None:
        """The host has its list of upscalers and begins to build the page."""
        batch.install()
        engine.refresh()
        registry.publish()

    def accordion(self, script: Any) -> dict[str, Any]:
        """Make the accordion of `script`."""
        if is_of_extras(script):
            made = extras.Accordion()
            inputs = made.build()
            self._accordion = made  # connected when the rest of the tab is there
            return inputs
        # The host's settings have put it into txt2img or img2img, which share a page with Extras.
        self._tabs += 1
        made = extras.Accordion(f"tab{self._tabs}")
        inputs = made.build()
        made.connect()
        return inputs

    def component(self, component: Any, **arguments: Any) -> None:
        """A component has been made somewhere on the page."""
        name = str(arguments.get("elem_id") or getattr(component, "elem_id", None))
        if name == "extras_image":
            self._image = component
        elif name in _LISTS:
            # The API builds some of the page again, after the page: the first is the one that is seen.
            self._lists.setdefault(name, extras.OtherList(component, _LISTS[name]))
        elif name == "extras_generate" and self._accordion is not None and self._image is not None:
            accordion, self._accordion = self._accordion, None
            accordion.connect(self._image, _builtin_controls(), list(self._lists.values()))

    def _models_changed(self) -> None:
        registry.refresh()


def accordion(script: Any) -> dict[str, Any]:
    """The controls of a postprocessor on the page that is being built."""
    return Page.current.accordion(script) if Page.current is not None else {}


def process(script: Any, pp: Any, values: Mapping[str, Any]) -> None:
    """One picture of the Extras tab, or of a generation."""
    extras.process(pp, values, generation=not is_of_extras(script))


def started(app: Any) -> None:
    """The server runs."""
    api.add_routes(app)


def unloaded() -> None:
    """The extension is being unloaded: everything that it put into the host is taken out."""
    for undo in (batch.uninstall, registry.withdraw, options.remove_from_page, engine.forget):
        try:
            undo()
        except Exception:
            console.report("something of Upscale Plus was left behind")
    # "Reload UI" reads the scripts again and no packages: after an update, new scripts would meet the old package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "lib_upscale"]:
        del sys.modules[name]


def _builtin_controls() -> dict[str, Any]:
    script = next((script for script in extras_scripts() if script.name == "Upscale"), None)
    return dict(script.controls or {}) if script is not None else {}
