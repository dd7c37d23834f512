"""Callbacks registered by scripts/upscale_plus.py and scripts/postprocessing_upscale_plus.py, and their removal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lib_upscale.models.identification.architectures import missing_architectures
from lib_upscale.webui.api import upscale as upscale_api
from lib_upscale.webui.extras import batch, builtin_upscale, originals, postprocess
from lib_upscale.webui.extras.accordion import Accordion, UpscalerList
from lib_upscale.webui.host import console
from lib_upscale.webui.host.page import latent_upscalers
from lib_upscale.webui.host.protocols import HostPostprocessed, HostTxt2Img
from lib_upscale.webui.host.scripts import extras_scripts, is_of_extras
from lib_upscale.webui.upscalers import hires_check, registry, settings_page
from lib_upscale.webui.upscalers.engine import engine, model_list

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio.components import Component

__all__ = ["UpscalePlusCallbacks", "callbacks"]

_LISTS: Mapping[str, Callable[[], list[str]]] = {
    "extras_upscaler_1": registry.names,
    "extras_upscaler_2": registry.names,
    "upscale_plus_redraw_upscaler": registry.names,
    "txt2img_hr_upscaler": lambda: [*latent_upscalers(), *registry.names()],
}
"""Id of a list of upscalers that the refresh button fills -> what it offers."""

_IMAGES = ("extras_image", "extras_image_batch", "extras_batch_input_dir")
"""Ids of what the tabs of Extras hold, the single image first."""


class UpscalePlusCallbacks:
    """The host's events, in the order in which it calls them. Events of the page are connected once all parts exist."""

    def __init__(self) -> None:
        self._accordion: Accordion | None = None
        self._images: list[Component] = []
        self._lists: dict[str, UpscalerList] = {}
        self._tabs = 0

    def add_settings(self) -> None:
        """Add ours to the settings page."""
        settings_page.add_to_page(registry.refresh, engine.forget)

    def before_ui(self) -> None:
        """Publish the upscalers: the host has its list of them and begins to build the page."""
        batch.install()
        model_list.start(registry.publish)
        registry.publish()

    def build_accordion(self, script: object) -> dict[str, Component]:
        """Make the controls of a postprocessor; name of a control -> its component."""
        if is_of_extras(script):
            accordion = Accordion()
            inputs = accordion.build()
            self._accordion = accordion  # connected when the rest of the tab exists
            return inputs
        # The host's settings have put it into txt2img or img2img, which share a page with Extras.
        self._tabs += 1
        accordion = Accordion(f"tab{self._tabs}")
        inputs = accordion.build()
        accordion.connect()
        return inputs

    def after_component(self, component: Component, **arguments: object) -> None:
        """Take note of a component that was made anywhere on the page."""
        elem_id = str(arguments.get("elem_id") or getattr(component, "elem_id", None))
        if elem_id in _IMAGES:
            self._images.append(component)
            if elem_id == "extras_image":
                originals.keep_uploads(component)
        elif elem_id in _LISTS:
            # The API builds some of the page again, after the page: the first is the one that is seen.
            self._lists.setdefault(elem_id, UpscalerList(component, _LISTS[elem_id]))
        elif elem_id == "extras_generate" and self._accordion is not None and self._images:
            accordion, self._accordion = self._accordion, None
            accordion.connect(self._images, _builtin_controls(), list(self._lists.values()))

    def app_started(self, app: FastAPI) -> None:
        """Add the API to the host's FastAPI application, and say which architectures are missing."""
        upscale_api.add_routes(app)
        if missing := missing_architectures():
            names = ", ".join(missing)
            console.say(f"models of these architectures can't be used, the installed packages lack them: {names}")

    def process_firstpass(self, pp: HostPostprocessed, values: Mapping[str, object]) -> None:
        """Tell other postprocessors the size of the result."""
        postprocess.process_firstpass(pp, values)

    def process(self, script: object, pp: HostPostprocessed, values: Mapping[str, object]) -> None:
        """Upscale one image of the Extras tab, or of a generation."""
        postprocess.process(pp, values, in_generation=not is_of_extras(script))

    def process_generation(self, p: HostTxt2Img) -> None:
        """Complete and check what hires fix is given, in txt2img, before a generation computes anything."""
        hires_check.begin_generation(p)
        hires_check.complete_modules(p)
        hires_check.check_upscaler(p)

    def unload(self) -> None:
        """Take everything out of the host that was put into it."""
        undos = (batch.uninstall, registry.withdraw, settings_page.remove_from_page, engine.forget, model_list.forget)
        for undo in undos:
            try:
                undo()
            except Exception:
                console.report("something of Upscale Plus was left behind")
        # "Reload UI" reads the scripts again and no packages: after an update, new scripts would meet the old package.
        for name in [name for name in sys.modules if name.partition(".")[0] == "lib_upscale"]:
            del sys.modules[name]


callbacks = UpscalePlusCallbacks()
"""Those of both scripts. Each loading of the scripts imports this module anew, as `unload` has removed it."""


def _builtin_controls() -> dict[str, Component]:
    scripts = [script for script in extras_scripts() if script.name == builtin_upscale.NAME]
    return dict(scripts[0].controls or {}) if scripts else {}
