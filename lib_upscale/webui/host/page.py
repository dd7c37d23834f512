"""Parts of the host's page: its accordion, events, and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

__all__ = [
    "controlnet_switches",
    "count_switched_on",
    "input_accordion",
    "is_canvas_of_parts",
    "javascript",
    "latent_upscalers",
    "on_page_load",
]

_MOST_UNITS = 10
"""The most units that ControlNet's settings allow."""
_SWITCH = "controlnet_"
"""Before the names of its switches."""


def controlnet_switches(tab: str) -> dict[str, str]:
    """The ids of the checkboxes that switch ControlNet's units on in a tab, with names for them."""
    units = ["ControlNet", *(f"ControlNet-{number}" for number in range(_MOST_UNITS))]
    return {f"{tab}_controlnet_{unit}_controlnet_enable_checkbox": f"{_SWITCH}{unit}" for unit in units}


def count_switched_on(values: Mapping[str, object]) -> int:
    """How many of ControlNet's units are on: the values of the page's controls by name, others among them."""
    return sum(bool(value) for name, value in values.items() if name.startswith(_SWITCH))


def input_accordion(opened: bool, **arguments: object) -> AbstractContextManager[Any]:
    """The host's accordion whose being open is a value: a class in one host, a function in the other."""
    from modules.ui_components import InputAccordion

    accordion: AbstractContextManager[Any] = InputAccordion(opened, **arguments)
    return accordion


def is_canvas_of_parts(component: object) -> bool:
    """Whether an image of img2img is Forge's canvas, HTML with parts that are made after it, and not gradio's image."""
    import gradio

    return isinstance(component, gradio.HTML)


def javascript(code: str, inputs: int) -> dict[str, str]:
    """The argument with which an event of gradio runs code in the page first: it was renamed with gradio 4.

    gradio passes the outputs' values after those of the inputs. gradio 4 takes the answer only if it has as many values
    as there are inputs: with more, all of them move by one place for each `gr.State` among them.

    Args:
        code: A function of JavaScript from the inputs' values to the array of those that are sent instead.
        inputs: How many inputs the event has.
    """
    import gradio

    name = "_js" if gradio.__version__.startswith("3.") else "js"
    return {name: f"(...values) => ({code})(...values.slice(0, {inputs}))"}


def latent_upscalers() -> list[str]:
    """What hires fix offers before the upscalers."""
    from modules import shared

    return list(getattr(shared, "latent_upscale_modes", {}))


def on_page_load(function: Callable[..., object], **arguments: object) -> Any:
    """Call `function` whenever somebody opens the page that is being built; return the event, as a component's does."""
    from gradio.context import Context

    assert Context.root_block is not None, "a page is being built"
    return Context.root_block.load(function, **arguments)
