"""Connects the accordion "Upscale plus" with the Extras tab."""

from pathlib import Path

import lib_upscale

if Path(lib_upscale.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1]:
    raise ImportError(
        f"Upscale Plus: another 'lib_upscale' was imported from {lib_upscale.__file__}: disable that extension"
    )

from lib_upscale.webui.host.environment import is_supported

if is_supported():
    from modules import errors, scripts_postprocessing

    from lib_upscale.webui.callbacks.upscale_plus import callbacks
    from lib_upscale.webui.extras.postprocess import NAME

    class ScriptPostprocessingUpscalePlus(scripts_postprocessing.ScriptPostprocessing):
        """The accordion."""

        name = NAME
        order = 1010

        def ui(self):
            """Make the controls by name; the host builds no page at all without an answer."""
            try:
                return callbacks.build_accordion(self)
            except Exception:
                errors.report("Upscale Plus: the accordion could not be made", exc_info=True)
                return {}

        def process_firstpass(self, pp, **values):
            """Run before any postprocessor."""
            callbacks.process_firstpass(pp, values)

        def process(self, pp, **values):
            """Process one image."""
            callbacks.process(self, pp, values)
