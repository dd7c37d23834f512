"""What the scripts connect to the host's callbacks, in the host's own order: page, list, API, and all of it undone."""

from __future__ import annotations

from typing import Any

from lib_upscale.webui import api, batch, extras, host, options, registry
from lib_upscale.webui.engine import engine

__all__ = ["Page", "accordion", "started", "unloaded"]


class Page:
    """The page that is being built: it knows the parts that events are tied to once all are there."""

    current: Page | None = None
    """The newest."""

    def __init__(self) -> None:
        Page.current = self
        self._accordion: extras.Accordion | None = None
        self._image: Any = None
        self._lists: list[Any] = []

    def settings(self) -> None:
        """The settings page is being made."""
        options.add_to_page(self._models_changed, engine.forget_models)

    def before(self) -> None:
        """The host has its list of upscalers and begins to build the page."""
        batch.install()
        engine.refresh()
        registry.publish()

    def accordion(self) -> dict[str, Any]:
        """Make the accordion of the Extras tab; an empty one where that fails, as the host needs an answer."""
        try:
            made = extras.Accordion()
            inputs = made.build()
        except Exception:
            host.report("the accordion could not be made")
            return {}
        self._accordion = made
        return inputs

    def component(self, component: Any, **arguments: Any) -> None:
        """A component has been made somewhere on the page."""
        name = arguments.get("elem_id") or getattr(component, "elem_id", None)
        if name == "extras_image":
            self._image = component
        elif name in ("extras_upscaler_1", "extras_upscaler_2"):
            self._lists.append(component)
        elif name == "extras_generate" and self._accordion is not None and self._image is not None:
            accordion, self._accordion = self._accordion, None
            accordion.connect(self._image, _builtin_controls(), self._lists)

    def _models_changed(self) -> None:
        registry.refresh()


def accordion() -> dict[str, Any]:
    """The controls of the Extras tab on the page that is being built."""
    return Page.current.accordion() if Page.current is not None else {}


def started(app: Any) -> None:
    """The server runs."""
    api.add_routes(app)


def unloaded() -> None:
    """The extension is being unloaded: everything that it put into the host is taken out."""
    for undo in (batch.uninstall, registry.withdraw, options.remove_from_page, engine.forget):
        try:
            undo()
        except Exception:
            host.report("something of Upscale Plus was left behind")


def _builtin_controls() -> dict[str, Any]:
    script = next((script for script in host.extras_scripts() if script.name == "Upscale"), None)
    return dict(script.controls or {}) if script is not None else {}
