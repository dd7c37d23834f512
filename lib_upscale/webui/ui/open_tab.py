"""Which of several tabs of the host's page is open, and how large the image in it is, found without sending it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["OpenTab", "find_tabs", "open_tab_script", "parse_open_tab"]

_SCRIPT = """async (...values) => {
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    await wait(100);
    const tab = document.querySelector('#TABS > div[style="display: block;"]');
    const image = tab && tab.querySelector('img');
    for (let tries = 0; image && !image.naturalWidth && tries < 20; tries++) await wait(50);
    values[1] = tab ? `${tab.id} ${image ? image.naturalWidth : 0}x${image ? image.naturalHeight : 0}` : '';
    return values;
}"""


@dataclass(frozen=True)
class OpenTab:
    """The tab that is open."""

    elem_id: str
    size: tuple[int, int] | None
    """Width and height of the image in it, in pixels; None where there is none."""


def open_tab_script(tabs: str) -> str:
    """Return the JavaScript that puts the open tab into the second input; `tabs` is the id of all of them together."""
    return _SCRIPT.replace("TABS", tabs)


def parse_open_tab(text: str) -> OpenTab | None:
    """Read what `open_tab_script` says; None where nothing is known."""
    match = re.match(r"^(\w+) (\d+)x(\d+)$", text or "")
    if match is None:
        return None
    width, height = int(match[2]), int(match[3])
    return OpenTab(match[1], (width, height) if width and height else None)


def find_tabs(components: Sequence[Component], tabs: str) -> list[Component]:
    """Return those of the tabs in which components are, each once; `tabs` as for `open_tab_script`."""
    found = {id(tab): tab for component in components if (tab := _tab_of(component, tabs)) is not None}
    return list(found.values())


def _tab_of(component: Component | None, tabs: str) -> Component | None:
    while component is not None:
        parent = getattr(component, "parent", None)
        if getattr(parent, "elem_id", None) == tabs:
            return component if hasattr(component, "select") else None
        component = parent
    return None
