"""Connects the script "SD upscale plus" with img2img's Script dropdown."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' is in the way, at {lib_upscale.__file__}: disable its owner"
    )

from modules import script_callbacks, scripts

from lib_upscale.webui.callbacks import sd_upscale_plus as redraw_glue

glue = redraw_glue.Glue()
script_callbacks.on_before_ui(glue.before)
script_callbacks.on_after_component(glue.component)
script_callbacks.on_app_started(lambda demo, app: glue.started(app))
script_callbacks.on_script_unloaded(glue.unloaded)


class SDUpscalePlus(scripts.Script):
    """The entry in the dropdown."""

    def title(self):
        """Its name there."""
        return redraw_glue.TITLE

    def show(self, is_img2img):
        """In img2img alone."""
        return is_img2img

    def ui(self, is_img2img):
        """Its controls."""
        return glue.build(self)

    def run(self, p, *values):
        """One press of Generate, or one picture of a batch."""
        return glue.run(p, values)


class SDUpscalePlusCells(scripts.Script):
    """Without controls: the cells of an X/Y/Z plot along one of our axes."""

    def title(self):
        """Its name in the API's list of scripts."""
        return "SD upscale plus: X/Y/Z cells"

    def show(self, is_img2img):
        """Always on in img2img."""
        return scripts.AlwaysVisible if is_img2img else False

    def before_process(self, p, *args):
        """Before anything is computed for a cell."""
        glue.cell(p)
