"""The page."""

import gradio as gr

from modules import script_callbacks, scripts


def create_ui():
    """The settings and the Extras tab."""
    script_callbacks.ui_settings_callback()
    with gr.Blocks() as demo:
        image = gr.Image(type="pil", elem_id="extras_image")
        script_callbacks.after_component_callback(image, elem_id="extras_image")
        scripts.scripts_postproc.setup_ui()
        button = gr.Button("Generate", elem_id="extras_generate")
        script_callbacks.after_component_callback(button, elem_id="extras_generate")
    return demo
