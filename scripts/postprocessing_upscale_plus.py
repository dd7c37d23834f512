"""Connects the accordion "Upscale plus" with the Extras tab."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' is in the way, at {lib_upscale.__file__}: disable its owner"
    )

from modules import errors, scripts_postprocessing

from lib_upscale.webui.callbacks import upscale_plus as glue
from lib_upscale.webui.extras import accordion as extras


class ScriptPostprocessingUpscalePlus(scripts_postprocessing.ScriptPostprocessing):
    """The accordion."""

    name = extras.NAME
    order = 1010

    def ui(self):
        """Its controls by name; the host builds no page at all without an answer."""
        try:
            return glue.accordion(self)
        except Exception:
            errors.report("Upscale Plus: the accordion could not be made", exc_info=True)
            return {}

    def process_firstpass(self, pp, **values):
        """Before any postprocessor runs."""
        extras.process_firstpass(pp, values)

    def process(self, pp, **values):
        """One picture."""
        glue.process(self, pp, values)
