"""Which image the script's line describes: that of the open img2img tab, found without sending it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lib_upscale.redrawing.tiles import Plane

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["IMAGE_IDS", "OPEN_TAB_SCRIPT", "Source", "describe_image", "find_tabs", "parse_open_tab"]

IMAGE_IDS = ("img2img_sketch", "img2maskimg", "inpaint_sketch", "img_inpaint_base", "img2img_batch_input_dir")
"""Ids of the host's components that hold an image, or the folder of many, in the tabs after the first."""
_TABS = "mode_img2img"

OPEN_TAB_SCRIPT = """async (...values) => {
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    await wait(100);
    const tab = document.querySelector('#mode_img2img > div[style="display: block;"]');
    const image = tab && tab.querySelector('img');
    for (let tries = 0; image && !image.naturalWidth && tries < 20; tries++) await wait(50);
    values[1] = tab ? `${tab.id} ${image ? image.naturalWidth : 0}x${image ? image.naturalHeight : 0}` : '';
    return values;
}"""
"""Runs on the page before the line is made: puts the open tab and the size of its image into the second input."""


@dataclass(frozen=True, eq=False)
class Source:
    """The image that is going to be enlarged."""

    size: tuple[int, int] | None = None
    brightness: Plane | None = None
    """(height, width), 0 to 1, where its pixels are known."""
    masked: bool = False
    """Whether only a part of it is going to be redrawn."""
    batch: bool = False
    """Whether there are many, none of which is known."""


def describe_image(image: object) -> Source:
    """Describe the image in the first tab, as gradio gives it."""
    if not isinstance(image, Image.Image):
        return Source()
    return Source(image.size, np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255))


def parse_open_tab(text: str, first: Source) -> Source:
    """Read what `OPEN_TAB_SCRIPT` says.

    Args:
        text: What it says; may be empty.
        first: The image in the first tab: the result where that is open or nothing is said.
    """
    match = re.match(r"^(\w+) (\d+)x(\d+)$", text or "")
    if match is None or match[1] == "img2img_img2img_tab":
        return first
    width, height = int(match[2]), int(match[3])
    return Source(
        (width, height) if width and height else None, masked="inpaint" in match[1], batch="batch" in match[1]
    )


def find_tabs(components: Sequence[Component]) -> list[Component]:
    """Return the tabs of img2img in which components are, each once."""
    tabs = {id(tab): tab for component in components if (tab := _tab_of(component)) is not None}
    return list(tabs.values())


def _tab_of(component: Component | None) -> Component | None:
    while component is not None:
        parent = getattr(component, "parent", None)
        if getattr(parent, "elem_id", None) == _TABS:
            return component if hasattr(component, "select") else None
        component = parent
    return None
