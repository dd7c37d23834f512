"""The line under the controls, as a page shows it: what will happen, or why it can't."""

from __future__ import annotations

import html
from collections.abc import Callable

from lib_upscale.errors import UpscalePlusError
from lib_upscale.webui.host import console

__all__ = ["line_of", "shown"]


def line_of(plan: Callable[[], str]) -> str:
    """What `plan` says, or what it raises, as HTML. Never raises: a line of text must not break the page."""
    try:
        return shown(plan(), good=True)
    except UpscalePlusError as error:
        return shown(str(error), good=False)
    except Exception as error:
        console.report("the plan could not be made")
        return shown(f"The plan could not be made ({type(error).__name__}: {error})", good=False)


def shown(text: str, *, good: bool) -> str:
    """The text as HTML, in the color of what will happen or of what can't."""
    return f"<div class='upscale-plus-{'good' if good else 'bad'}'>{html.escape(text)}</div>"
