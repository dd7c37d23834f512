"""Connects the section "Hires fix plus" with txt2img."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' was imported from {lib_upscale.__file__}: disable that extension"
    )

from lib_upscale.webui.host.environment import is_supported

if is_supported():
    from modules import script_callbacks, scripts

    from lib_upscale.webui.callbacks.hires_fix_plus import TITLE, HiresFixPlusCallbacks

    callbacks = HiresFixPlusCallbacks()
    script_callbacks.on_before_ui(callbacks.before_ui)
    script_callbacks.on_after_component(callbacks.after_component)
    script_callbacks.on_script_unloaded(callbacks.unload)

    class HiresFixPlus(scripts.Script):
        """The section beside hires fix."""

        section = "accordions"

        def title(self):
            """Return the name on the page and, in lower case, in the API."""
            return TITLE

        def show(self, is_img2img):
            """Always run in txt2img, where the accordion switches it on and off."""
            return False if is_img2img else scripts.AlwaysVisible

        def ui(self, is_img2img):
            """Make the controls."""
            return callbacks.build_controls(self)

        def process(self, p, *values):
            """Run before anything is computed."""
            callbacks.process(p, values)

        def process_batch(self, p, *values, **named):
            """Run before each batch."""
            callbacks.process_batch(p)
