"""Connects the script "SD upscale plus" with the Script dropdown of img2img."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' was imported from {lib_upscale.__file__}: disable that extension"
    )

from lib_upscale.webui.host.environment import is_supported

if is_supported():
    from modules import script_callbacks, scripts

    from lib_upscale.webui.callbacks.sd_upscale_plus import TITLE, SdUpscalePlusCallbacks

    callbacks = SdUpscalePlusCallbacks()
    script_callbacks.on_before_ui(callbacks.before_ui)
    script_callbacks.on_after_component(callbacks.after_component)
    script_callbacks.on_app_started(lambda demo, app: callbacks.app_started(app))
    script_callbacks.on_script_unloaded(callbacks.unload)

    class SDUpscalePlus(scripts.Script):
        """The entry in the dropdown."""

        def title(self):
            """Return the name in the dropdown."""
            return TITLE

        def show(self, is_img2img):
            """Show it in img2img only."""
            return is_img2img

        def ui(self, is_img2img):
            """Make the controls."""
            return callbacks.build_controls(self)

        def run(self, p, *values):
            """Run in place of a generation: once for Generate, once for each image of a batch."""
            return callbacks.run(p, values)

    class SDUpscalePlusCells(scripts.Script):
        """Redraws the cells of an X/Y/Z plot along one of our axes; has no controls."""

        def title(self):
            """Return the name in the API's list of scripts."""
            return "SD upscale plus: X/Y/Z cells"

        def show(self, is_img2img):
            """Always run in img2img."""
            return scripts.AlwaysVisible if is_img2img else False

        def before_process(self, p, *args):
            """Run before anything is computed for a cell."""
            callbacks.before_process(p)
