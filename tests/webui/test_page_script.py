"""The page's own script, run by node: an answer is asked for once after many changes, and again for what came late."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lib_upscale.webui.ui.open_tab import MaskBits, parse_open_tab
from tests.conftest import ROOT

PAGE = """
const asked = [], listeners = {};
globalThis.document = {
    addEventListener: (name, function_) => listeners[name] = function_,
    getElementById: (id) => id.endsWith('_ask') ? {click: () => asked.push(id)} : null,
};
const wait = (time) => new Promise((done) => setTimeout(done, time));
"""


def asked(story: str) -> list[str]:
    """The buttons that are pressed, in this order, while a story in JavaScript happens on a page."""
    found: list[str] = run(f"{story}; return asked")
    return found


def run(story: str) -> Any:
    """What a story in JavaScript returns that happens on a page."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: the page's script is not run")
    script = (ROOT / "javascript" / "upscale_plus.js").read_text(encoding="utf-8")
    told = f"(async () => {{ {story}; }})().then((found) => {{ console.log(JSON.stringify(found)); process.exit(0); }})"
    code = f"{PAGE}{script};{told}"
    done = subprocess.run([node, "-"], input=code, capture_output=True, check=True, text=True, timeout=30)
    return json.loads(done.stdout)


def test_many_changes_in_a_row_ask_once() -> None:
    story = "for (let n = 0; n < 35; n++) upscalePlus.changed('line'); await wait(400)"
    assert asked(story) == ["line_ask"]


def test_what_changes_before_the_answer_asks_again_after_it() -> None:
    story = """
        upscalePlus.changed('line'); await wait(300);
        upscalePlus.changed('line'); await wait(300);
        asked.push('answer'); upscalePlus.answered('line'); await wait(300);
        asked.push('answer'); upscalePlus.answered('line'); await wait(300)"""
    assert asked(story) == ["line_ask", "answer", "line_ask", "answer"]


def test_while_a_slider_is_dragged_the_line_follows_now_and_then() -> None:
    story = """
        const answer = setInterval(() => upscalePlus.answered('line'), 50);
        for (let n = 0; n < 50; n++) { upscalePlus.changed('line'); await wait(40); }
        clearInterval(answer); await wait(300)"""
    assert 2 <= len(asked(story)) <= 4


def test_a_number_that_is_emptied_counts_as_a_change() -> None:
    story = """
        upscalePlus.changed('line'); await wait(300); upscalePlus.answered('line');
        const target = (id) => ({closest: () => ({id})});
        listeners.input({target: target('line_width')}); await wait(300); upscalePlus.answered('line');
        listeners.input({target: target('other_width')}); await wait(300)"""
    assert asked(story) == ["line_ask", "line_ask"]


def test_a_stroke_on_an_image_of_img2img_counts_as_a_change() -> None:
    story = """
        const press = (inside) => {
            listeners.pointerdown({target: {closest: (id) => inside && id === '#mode_img2img'}});
            listeners.pointerup({});
        };
        press(false); await wait(300); asked.push('stroke'); press(true); await wait(300)"""
    assert asked(story) == ["stroke", "upscale_plus_redraw_ask"]


def told(pixels: NDArray[np.uint8], *, strokes: bool = False) -> MaskBits:
    """The mask that the page tells for an image of those pixels, (height, width, 4), or of strokes."""
    height, width = pixels.shape[:2]
    text = run(f"return upscalePlus.describeMask({pixels.ravel().tolist()}, {width}, {height}, {json.dumps(strokes)})")
    return parsed(f"img2img_inpaint_tab {width}x{height} {text}")


def parsed(text: str) -> MaskBits:
    tab = parse_open_tab(text)
    assert tab is not None
    assert tab.mask is not None
    return tab.mask


def image(mask: NDArray[np.bool_], *, on: tuple[int, ...], off: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.where(mask[:, :, None], np.array(on, np.uint8), np.array(off, np.uint8))


@pytest.mark.parametrize(
    ("on", "off", "strokes"),
    [
        ((255, 255, 255, 255), (0, 0, 0, 255), False),
        ((255, 255, 255, 255), (255, 255, 255, 0), False),
        ((0, 0, 0, 190), (0, 0, 0, 0), True),
        ((0, 0, 0, 255), (0, 0, 0, 100), True),
    ],
)
def test_a_mask_is_told_to_the_pixel_where_the_image_is_small(
    on: tuple[int, ...], off: tuple[int, ...], strokes: bool
) -> None:
    mask = np.random.default_rng(1).random((60, 90)) > 0.9
    mask[:7] = mask[:, 81:] = False
    assert np.array_equal(told(image(mask, on=on, off=off), strokes=strokes).plane(90, 60) > 0, mask)


def test_a_mask_of_a_large_image_is_told_in_cells_within_its_box() -> None:
    mask = np.zeros((260, 333), np.bool_)
    mask[31:77, 50:61] = mask[100:103, 200:331] = True
    found = told(image(mask, on=(255,) * 4, off=(0, 0, 0, 255))).plane(333, 260) > 0
    assert found[mask].all()
    assert found.sum() < 1.5 * mask.sum()
    for axis in (0, 1):
        assert np.array_equal(
            np.flatnonzero(found.any(axis=axis))[[0, -1]], np.flatnonzero(mask.any(axis=axis))[[0, -1]]
        )
    twice = told(image(mask, on=(255,) * 4, off=(0, 0, 0, 255))).plane(666, 520) > 0
    assert np.array_equal(np.flatnonzero(twice.any(axis=1))[[0, -1]], [62, 205])


def test_nothing_masked_is_told_as_nothing() -> None:
    found = told(image(np.zeros((20, 30), np.bool_), on=(255,) * 4, off=(0, 0, 0, 255)))
    assert not found.cells.any()
    assert not found.plane(30, 20).any()


CANVASES = """
const canvas = (pixels = [], width = 0, height = 0) => {
    const self = {width, height, id: '', pixels: Uint8ClampedArray.from(pixels)};
    self.getContext = () => ({
        canvas: self,
        drawImage: (source) => self.pixels = Uint8ClampedArray.from(source.pixels),
        getImageData: () => ({data: Uint8ClampedArray.from(self.pixels)}),
        putImageData: (image) => self.pixels = image.data,
    });
    return self;
};
document.createElement = () => canvas();
"""


def told_of_tab(elements: dict[str, NDArray[np.uint8]]) -> str:
    """What the page tells of a tab: CSS selector -> pixels, (height, width, 4), of a canvas or an image."""
    found = {name: [pixels.ravel().tolist(), *pixels.shape[1::-1]] for name, pixels in elements.items()}
    story = f"""{CANVASES}
        const found = {json.dumps(found)};
        const querySelector = (list) => {{
            const name = list.split(', ').find((one) => one in found);
            return name ? canvas(...found[name]) : null;
        }};
        return upscalePlus.maskIn({{querySelector}})"""
    text: str = run(story)
    return text


def test_a_sketch_in_gradio_3_is_what_differs_from_the_image() -> None:
    rng = np.random.default_rng(0)
    before = np.dstack([rng.integers(0, 256, (40, 50, 3), np.uint8), np.full((40, 50), 255, np.uint8)])
    after = before.copy()
    after[12:20, 5:31, 1] ^= 1
    drawn, shown = '#inpaint_sketch canvas[key="drawing"]', "#inpaint_sketch img"
    mask = parsed(f"img2img_inpaint_sketch_tab 50x40 {told_of_tab({drawn: after, shown: before})}").plane(50, 40)
    assert np.array_equal(mask > 0, (after != before).any(axis=2))
    assert told_of_tab({drawn: after, shown: after}) == "", "gradio has forgotten the image, or nothing is drawn yet"


@pytest.mark.parametrize("tab", ["img2maskimg", "inpaint_sketch"])
def test_on_a_canvas_of_forge_what_is_rather_opaque_counts(tab: str) -> None:
    strokes = np.zeros((40, 50, 4), np.uint8)
    strokes[10:20, 10:20, 3], strokes[30:, 30:, 3] = 255, 120
    text = told_of_tab({f'#{tab} canvas[id^="drawingCanvas"]': strokes, "#inpaint_sketch img": strokes})
    assert np.array_equal(parsed(f"tab 50x40 {text}").plane(50, 40) > 0, strokes[:, :, 3] > 128)


@pytest.mark.parametrize("text", ["", "nonsense", "9x9 0,0,1,1 30x30 ////", "0x0 0,0,0,0 0x0 AA=="])
def test_a_mask_that_is_not_told_is_not_known(text: str) -> None:
    tab = parse_open_tab(f"img2img_inpaint_tab 30x20 {text}".strip())
    assert tab is not None
    assert (tab.size, tab.mask) == ((30, 20), None)
