"""Connects the section "Hires fix plus" with txt2img."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' is in the way, at {lib_upscale.__file__}: disable its owner"
    )

from modules import script_callbacks, scripts

from lib_upscale.webui.callbacks import hires_fix_plus as hires_glue

glue = hires_glue.HiresGlue()
script_callbacks.on_before_ui(glue.before)
script_callbacks.on_after_component(glue.component)
script_callbacks.on_script_unloaded(glue.unloaded)


class HiresFixPlus(scripts.Script):
    """The section beside hires fix."""

    section = "accordions"

    def title(self):
        """Its name there, and in small letters in the API."""
        return hires_glue.TITLE

    def show(self, is_img2img):
        """Always on in txt2img; its accordion switches it."""
        return False if is_img2img else scripts.AlwaysVisible

    def ui(self, is_img2img):
        """Its controls."""
        return glue.build(self)

    def process(self, p, *values):
        """Before anything is computed."""
        glue.process(p, values)
