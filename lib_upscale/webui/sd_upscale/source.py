"""Which picture the script's line speaks of: that of the img2img tab which is open, told without sending it anew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lib_upscale.redrawing.tiles.filters import Plane

__all__ = ["OTHERS", "WHERE", "Source", "seen", "source_of", "tabs_of"]

OTHERS = ("img2img_sketch", "img2maskimg", "inpaint_sketch", "img_inpaint_base", "img2img_batch_input_dir")
"""The host's components that hold a picture, or the name of many, in the tabs after the first; by their ids."""
_TABS = "mode_img2img"

WHERE = """async (...values) => {
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    await wait(100);
    const tab = document.querySelector('#mode_img2img > div[style="display: block;"]');
    const image = tab && tab.querySelector('img');
    for (let tries = 0; image && !image.naturalWidth && tries < 20; tries++) await wait(50);
    values[1] = tab ? `${tab.id} ${image ? image.naturalWidth : 0}x${image ? image.naturalHeight : 0}` : '';
    return values;
}"""
"""Runs on the page before the line is made: puts the open tab and the size of its picture into the second input."""


@dataclass(frozen=True, eq=False)
class Source:
    """The picture that is going to be enlarged."""

    size: tuple[int, int] | None = None
    brightness: Plane | None = None
    """(height, width), 0 to 1, where its pixels are known."""
    masked: bool = False
    """Whether only a part of it is going to be redrawn."""
    batch: bool = False
    """Whether there are many, none of which is known."""


def source_of(picture: Any) -> Source:
    """The picture in the first tab, as gradio gives it."""
    if not isinstance(picture, Image.Image):
        return Source()
    return Source(picture.size, np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255))


def seen(where: str, first: Source) -> Source:
    """What `WHERE` tells, and `first`, the picture in the first tab, where that is open or nothing is told."""
    match = re.match(r"^(\w+) (\d+)x(\d+)$", where or "")
    if match is None or match[1] == "img2img_img2img_tab":
        return first
    width, height = int(match[2]), int(match[3])
    return Source(
        (width, height) if width and height else None, masked="inpaint" in match[1], batch="batch" in match[1]
    )


def tabs_of(components: Sequence[Any]) -> list[Any]:
    """The tabs of img2img in which components lie, each once."""
    found = {id(tab): tab for component in components if (tab := _tab_of(component)) is not None}
    return list(found.values())


def _tab_of(component: Any) -> Any:
    while component is not None:
        above = getattr(component, "parent", None)
        if getattr(above, "elem_id", None) == _TABS:
            return component if hasattr(component, "select") else None
        component = above
    return None
