"""Which of several tabs of the host's page is open, how large the image in it is, and what of it is masked.

The image itself is not sent again for that, and of a mask only a small one of bits (javascript/upscale_plus.js).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["MaskBits", "OpenTab", "find_tabs", "open_tab_script", "parse_open_tab"]

_ROUNDING = 1e-6

_SCRIPT = """async (...values) => {
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    await wait(100);
    const tab = document.querySelector('#TABS > div[style="display: block;"]');
    const image = tab && tab.querySelector('img');
    for (let tries = 0; image && !image.naturalWidth && tries < 20; tries++) await wait(50);
    const mask = tab && globalThis.upscalePlus?.maskIn(tab) || '';
    values[1] = tab ? `${tab.id} ${image ? image.naturalWidth : 0}x${image ? image.naturalHeight : 0} ${mask}` : '';
    return values;
}"""


@dataclass(frozen=True, eq=False)
class MaskBits:
    """What of an image is masked, as the page tells it: in cells, a few pixels large."""

    cells: NDArray[np.bool_]
    """(rows, columns), spread over all of the image: whether anything in a cell is masked."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom of all that is masked, in shares of the image's sides; all 0 where nothing is."""

    def plane(self, width: int, height: int) -> NDArray[np.float32]:
        """The mask of an image of that size, (height, width): 1 where it is masked, 0 elsewhere."""
        rows, columns = self.cells.shape
        cells = self.cells[(np.arange(height) * rows // height)][:, np.arange(width) * columns // width]
        left, top, right, bottom = self.box
        across, down = _span(left, right, width), _span(top, bottom, height)
        mask = np.zeros((height, width), np.float32)
        mask[down, across] = cells[down, across]
        return mask

    def widened(self, across: float, down: float) -> MaskBits:
        """Make a mask of all that lies so far from what is masked, in shares of the image's width and height."""
        if not self.cells.any():
            return self
        rows, columns = self.cells.shape
        cells = _widen(_widen(self.cells, ceil(down * rows), 0), ceil(across * columns), 1)
        left, top, right, bottom = self.box
        box = (max(0.0, left - across), max(0.0, top - down), min(1.0, right + across), min(1.0, bottom + down))
        return MaskBits(cells, box)


def _widen(cells: NDArray[np.bool_], by: int, axis: int) -> NDArray[np.bool_]:
    padded = np.pad(cells, [(by, by) if other == axis else (0, 0) for other in range(2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis)
    return np.asarray(windows.any(axis=-1), np.bool_)


def _span(first: float, end: float, side: int) -> slice:
    """The pixels that shares of a side reach into."""
    return slice(int(first * side + _ROUNDING), ceil(end * side - _ROUNDING))


@dataclass(frozen=True, eq=False)
class OpenTab:
    """The tab that is open."""

    elem_id: str
    size: tuple[int, int] | None = None
    """Width and height of the image in it, in pixels; None where there is none."""
    mask: MaskBits | None = None
    """None where the page does not know it."""


def open_tab_script(tabs: str) -> str:
    """Return the JavaScript that puts the open tab into the second input; `tabs` is the id of all of them together."""
    return _SCRIPT.replace("TABS", tabs)


def parse_open_tab(text: str) -> OpenTab | None:
    """Read what `open_tab_script` says; None where nothing is known."""
    match = re.match(r"^(\w+) (\d+)x(\d+) ?(.*)$", text or "")
    if match is None:
        return None
    width, height = int(match[2]), int(match[3])
    return OpenTab(match[1], (width, height) if width and height else None, _parse_mask(match[4]))


def _parse_mask(text: str) -> MaskBits | None:
    """Read what the page's `maskIn` says."""
    match = re.match(r"^(\d+)x(\d+) (\d+),(\d+),(\d+),(\d+) (\d+)x(\d+) ([\w+/=]+)$", text)
    if match is None:
        return None
    width, height, *box, columns, rows = (int(number) for number in match.groups()[:-1])
    bits = np.unpackbits(np.frombuffer(base64.b64decode(match[9]), np.uint8))[: rows * columns]
    if not width or not height or len(bits) != rows * columns:
        return None
    left, top, right, bottom = (pixels / side for pixels, side in zip(box, (width, height) * 2, strict=True))
    return MaskBits(bits.reshape(rows, columns).astype(np.bool_), (left, top, right, bottom))


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
