"""Connects the extension with the WebUI's callbacks. Whatever fails here is reported by the host, which goes on."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' was imported from {lib_upscale.__file__}: disable that extension"
    )

from lib_upscale.webui.host.environment import is_supported

if is_supported():
    from modules import script_callbacks, scripts

    from lib_upscale.webui.callbacks.upscale_plus import callbacks

    script_callbacks.on_script_unloaded(callbacks.unload)
    script_callbacks.on_ui_settings(callbacks.add_settings)
    script_callbacks.on_before_ui(callbacks.before_ui)
    script_callbacks.on_after_component(callbacks.after_component)
    script_callbacks.on_app_started(lambda demo, app: callbacks.app_started(app))

    class UpscalePlusHiresCheck(scripts.Script):
        """Prepares upscalers for a generation, and checks that of hires fix; has no controls."""

        def title(self):
            """Return the name in the API's list of scripts."""
            return "Upscale Plus: hires check"

        def show(self, is_img2img):
            """Always run."""
            return scripts.AlwaysVisible

        def process(self, p, *args):
            """Run before anything is computed."""
            callbacks.process_generation(p)
