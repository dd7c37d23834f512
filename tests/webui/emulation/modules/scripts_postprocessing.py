"""The Extras tab's chain of postprocessors."""

import gradio as gr

from modules import shared


class PostprocessedImageSharedInfo:
    """What postprocessors tell each other."""

    target_width = target_height = None


class PostprocessedImage:
    """A picture on its way."""

    def __init__(self, image):
        self.image, self.info, self.shared = image, {}, PostprocessedImageSharedInfo()
        self.extra_images, self.disable_processing, self.caption = [], False, None


class ScriptPostprocessing:
    """One of the chain."""

    name, order, controls, args_from, args_to = None, 1000, None, None, None


class BuiltInUpscale(ScriptPostprocessing):
    """The host's own."""

    name = "Upscale"

    def ui(self):
        """Its controls."""
        names = [upscaler.name for upscaler in shared.sd_upscalers]
        return {
            "upscale_enabled": gr.Checkbox(True, elem_id="extras_upscale-checkbox"),
            "upscale_mode": gr.Number(0, visible=False),
            "upscale_by": gr.Slider(1, 8, value=4),
            "max_side_length": gr.Number(0),
            "upscale_to_width": gr.Slider(64, 8192, value=512),
            "upscale_to_height": gr.Slider(64, 8192, value=512),
            "upscale_crop": gr.Checkbox(True),
            "upscaler_1_name": gr.Dropdown(names, value="None", elem_id="extras_upscaler_1"),
        }

    def process_firstpass(self, pp, **values):
        """Nothing."""

    def process(self, pp, upscale_enabled=True, upscale_by=2.0, upscaler_1_name=None, **more):
        """By a factor alone."""
        if upscale_enabled and upscaler_1_name not in (None, "None"):
            entry = next(x for x in shared.sd_upscalers if x.name == upscaler_1_name)
            pp.image = entry.scaler.upscale(pp.image, upscale_by, entry.data_path)


class ScriptPostprocessingRunner:
    """Runs them in their order."""

    def __init__(self):
        from modules import scripts

        kinds = [BuiltInUpscale, *(data.script_class for data in scripts.postprocessing_scripts_data)]
        self.scripts = [kind() for kind in kinds]

    def scripts_in_preferred_order(self):
        """As the settings say, then by their order; without those that are switched off there."""
        first = list(shared.opts.postprocessing_operation_order)
        found = [each for each in self.scripts if each.name not in shared.opts.postprocessing_disable_in_extras]

        def place(script):
            return first.index(script.name) if script.name in first else len(first)

        return sorted(found, key=lambda script: (place(script), script.order))

    def setup_ui(self):
        """Make all controls."""
        inputs = []
        for script in self.scripts_in_preferred_order():
            script.args_from = len(inputs)
            script.controls = script.ui()
            inputs += list(script.controls.values())
            script.args_to = len(inputs)
        return inputs

    def run(self, pp, args):
        """One picture through the chain."""
        chain = [
            (script, dict(zip(script.controls, args[script.args_from : script.args_to], strict=True)))
            for script in self.scripts_in_preferred_order()
        ]
        for script, values in chain:
            script.process_firstpass(pp, **values)
        for script, values in chain:
            if shared.state.skipped:
                break
            script.process(pp, **values)

    def create_args_for_run(self, wanted):
        """Values by script's name and control's name as one list; None for all that is not given."""
        args = [None] * max(script.args_to for script in self.scripts)
        for script in self.scripts:
            for place, name in enumerate(script.controls):
                args[script.args_from + place] = wanted.get(script.name, {}).get(name)
        return args
