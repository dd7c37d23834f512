"""For the tests: redraws a part of each finished image with a ControlNet unit of its own, as ADetailer does."""

from __future__ import annotations

import copy

import gradio as gr
from modules import processing, scripts


class InnerRedraw(scripts.Script):
    def title(self):
        return "Inner redraw"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.JSON(visible=False)]

    def postprocess_image(self, p, pp, unit=None, *_):
        if not unit:
            return
        inner = processing.StableDiffusionProcessingImg2Img(
            init_images=[pp.image.crop((0, 0, 64, 64))],
            prompt="a face",
            seed=1,
            sampler_name=p.sampler_name,
            steps=p.steps,
            width=64,
            height=64,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        runner, arguments = copy.copy(p.scripts), list(p.script_args)
        runner.callback_map = {}
        runner.alwayson_scripts = [s for s in runner.alwayson_scripts if s.title() == "ControlNet"]
        for script in runner.alwayson_scripts:
            others = script.args_to - script.args_from - 1
            arguments[script.args_from : script.args_to] = [unit, *[{"enabled": False}] * others]
        inner.scripts_value, inner.script_args_value, inner.scripts_setup_complete = runner, arguments, True
        processing.process_images(inner)
