"""Connects the extension with the WebUI's callbacks. Whatever fails here is reported by the host, which goes on."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' is in the way, at {lib_upscale.__file__}: disable its owner"
    )

from modules import script_callbacks, scripts

from lib_upscale.webui.callbacks import upscale_plus as glue
from lib_upscale.webui.upscalers import hires_check

page = glue.Page()
script_callbacks.on_script_unloaded(glue.unloaded)
script_callbacks.on_ui_settings(page.settings)
script_callbacks.on_before_ui(page.before)
script_callbacks.on_after_component(page.component)
script_callbacks.on_app_started(lambda demo, app: glue.started(app))


class UpscalePlusHiresCheck(scripts.Script):
    """Without controls: asks hires fix's upscaler before the first pass."""

    def title(self):
        """Its name in the API's list of scripts."""
        return "Upscale Plus: hires check"

    def show(self, is_img2img):
        """Always on in txt2img."""
        return False if is_img2img else scripts.AlwaysVisible

    def process(self, p, *args):
        """Before anything is computed."""
        hires_check.prepare(p)
