"""Parts of the host's page: its accordion, events, and lists."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["input_accordion", "is_canvas_of_parts", "javascript", "latent_upscalers", "on_page_load"]


def input_accordion(opened: bool, **arguments: object) -> AbstractContextManager[Any]:
    """The host's accordion whose being open is a value: a class in one host, a function in the other."""
    from modules.ui_components import InputAccordion

    accordion: AbstractContextManager[Any] = InputAccordion(opened, **arguments)
    return accordion


def is_canvas_of_parts(component: object) -> bool:
    """Whether img2img's image is Forge's canvas, a component of several parts, and not gradio's image."""
    return not hasattr(component, "image_mode")


def javascript(code: str) -> dict[str, str]:
    """The argument with which an event of gradio runs `code` in the page first: it was renamed with gradio 4."""
    import gradio

    return {"_js" if gradio.__version__.startswith("3.") else "js": code}


def latent_upscalers() -> list[str]:
    """What hires fix offers before the upscalers."""
    from modules import shared

    return list(getattr(shared, "latent_upscale_modes", {}))


def on_page_load(function: Callable[..., object], **arguments: object) -> None:
    """Call `function` whenever somebody opens the page that is being built."""
    from gradio.context import Context

    if Context.root_block is not None:
        Context.root_block.load(function, **arguments)
