"""The accordion whose being open is a value."""

import gradio as gr

class InputAccordion(gr.Checkbox):
    """Here a plain box to tick, with nothing around it."""

    def __init__(self, value, **named):
        super().__init__(value, label=named.get("label"), elem_id=f"{named.get('elem_id')}-checkbox")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
