"""The Extras tab used as a person would, in a real browser: choose the model, press Generate, look at the result.

With UPSCALE_PLUS_SCREENSHOTS set to a folder, the page is kept there as pictures, before and after a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.models import NEAREST
from tests.webui.server import WebUI

pytestmark = pytest.mark.webui

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Browser:
    """The page, and what its console said."""

    plan = "#upscale_plus_extras_plan"
    """Where the line stands that says what will happen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: self._raised(str(error)))
        page.on("console", lambda message: self._said(message))

    def _raised(self, error: str) -> None:
        # gradio 4 lets an event go that a newer one of the same control follows, and does not catch its own signal.
        if not error.startswith("AbortError: signal is aborted without reason"):
            self.errors.append(error)

    def _said(self, message: Any) -> None:
        # A WebUI without network fails to load what it has elsewhere, and one that was laid there by hand may lack
        # its fonts: that is none of ours.
        foreign = ("ERR_NAME_NOT_RESOLVED", "ERR_INTERNET", "/webui-assets/")
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(each in text for each in foreign):
            self.errors.append(text)

    def open_extras(self, url: str) -> None:
        self.page.goto(url, wait_until="domcontentloaded")
        self.page.wait_for_selector("#txt2img_generate", state="visible", timeout=90_000)
        self.page.wait_for_timeout(2000)
        self.page.locator("#tabs button", has_text="Extras").first.click()
        self.page.locator("#upscale_plus_extras .label-wrap").first.click()
        self.page.wait_for_selector("#upscale_plus_extras_model", state="visible")

    def number(self, elem_id: str, value: float) -> None:
        """Write into the field of a slider or number, or of a number that may be automatic, and leave it."""
        field = self.page.locator(f"#{elem_id} input:not([type=range])").first
        field.fill(str(value))
        field.press("Tab")

    def value(self, elem_id: str) -> str:
        return str(self.page.locator(f"#{elem_id} input").first.input_value())

    def choose(self, elem_id: str, text: str) -> None:
        field = self.page.locator(f"#{elem_id} input").first
        field.click()
        field.fill(text)
        self.page.wait_for_timeout(300)
        field.press("Enter")
        self.page.wait_for_timeout(300)

    def photograph(self, name: str) -> None:
        """Keep the page as a picture, where somebody wants to look at it."""
        folder = os.environ.get("UPSCALE_PLUS_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))

    def line(self, expected: str) -> str:
        """The plan, once it contains what is expected."""
        script = "([id, text]) => document.querySelector(id).innerText.includes(text)"
        self.page.wait_for_function(script, arg=[self.plan, expected], timeout=60_000)
        return str(self.page.locator(self.plan).first.inner_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried in a browser")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: the page is not tried in a browser")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield found
        with contextlib.suppress(Exception):
            found.close()


@pytest.fixture
def page(browser: Any, webui: WebUI) -> Iterator[Browser]:
    tab = browser.new_page(viewport={"width": 1400, "height": 1500})
    opened = Browser(tab)
    opened.open_extras(webui.url)
    yield opened
    tab.close()


def put_picture(page: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "source.png"
    values = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(file)
    page.page.locator("#extras_image input[type=file]").first.set_input_files(str(file))


def test_one_picture_gets_the_size_that_the_line_promised(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (70, 50))
    page.choose("upscale_plus_extras_model", NEAREST)
    page.choose("upscale_plus_extras_preset", "4x")
    assert NEAREST in page.line("70x50 -> 280x200")
    page.photograph("before")
    page.page.locator("#extras_generate").first.click()
    page.page.wait_for_selector("#extras_gallery img", timeout=60_000)
    script = "() => { const i = document.querySelector('#extras_gallery img'); return i.naturalWidth > 0 }"
    page.page.wait_for_function(script, timeout=30_000)
    size = page.page.evaluate(
        "() => { const i = document.querySelector('#extras_gallery img'); return [i.naturalWidth, i.naturalHeight] }"
    )
    page.photograph("after")
    assert size == [280, 200]
    assert page.errors == []


def test_both_accordions_on_is_said_with_the_size_that_follows(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (40, 30))
    page.choose("upscale_plus_extras_model", NEAREST)
    page.line("40x30 -> 80x60")
    page.choose("extras_upscaler_1", "SwinIR_in_ESRGAN")  # Neo sets "Resize" to the scale that a name has
    text = page.line("both accordions")
    assert "40x30 -> 320x240" in text
    page.photograph("both")
    page.page.locator("#extras_generate").first.click()
    page.page.wait_for_function(
        "() => { const i = document.querySelector('#extras_gallery img'); return i && i.naturalWidth === 320 }",
        timeout=60_000,
    )
    assert page.errors == []


def test_a_model_that_fails_says_so_on_the_page(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (40, 30))
    page.page.locator("#upscale_plus_extras .label-wrap").first.click()
    page.choose("extras_upscaler_1", "detail_lora")
    page.page.locator("#extras_generate").first.click()
    page.page.wait_for_function("() => document.body.innerText.includes('move it to models/Lora')", timeout=60_000)
    page.photograph("failed")
    assert page.page.locator("#extras_gallery img").count() == 0


def test_uploads_are_done_but_for_the_one_that_is_damaged(page: Browser, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in ("first", "broken", "last")]
    for seed, file in enumerate(files):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(file)
    files[1].write_bytes(files[1].read_bytes()[:300])
    page.page.locator("#mode_extras button", has_text="Batch Process").first.click()
    page.page.wait_for_timeout(1000)
    page.page.locator("#extras_image_batch input[type=file]").first.set_input_files([str(file) for file in files])
    page.page.wait_for_function("() => document.querySelector('#extras_image_batch').innerText.includes('last')")
    page.choose("upscale_plus_extras_model", NEAREST)
    page.page.locator("#extras_generate").first.click()
    page.page.wait_for_function("() => document.body.innerText.includes('1 image failed')", timeout=60_000)
    said = page.page.locator(".upscale-plus-notes").first.inner_text()
    assert "broken.png can't be read" in said
    assert "last.png" not in said
    page.photograph("batch")
    grid = "[...document.querySelectorAll('#extras_gallery .grid-wrap img')]"
    page.page.wait_for_function(f"() => {grid}.every(i => i.complete && i.naturalWidth)", timeout=30_000)
    sizes = page.page.evaluate(f"() => {grid}.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes == [[64, 48], [64, 48]]
    assert page.errors == []


def test_a_file_that_came_meanwhile_is_offered_when_the_page_is_opened(page: Browser, webui: WebUI) -> None:
    new = webui.data / "models" / "ESRGAN" / "2x_Meanwhile.pth"
    shutil.copy(webui.data / "models" / "ESRGAN" / f"{NEAREST}.pth", new)
    try:
        page.page.reload(wait_until="domcontentloaded")
        page.open_extras(webui.url)
        for elem_id in ("upscale_plus_extras_model", "extras_upscaler_1"):
            page.page.locator(f"#{elem_id} input").first.click()
            page.page.wait_for_selector(f"#{elem_id} .options >> text=2x_Meanwhile", timeout=30_000)
            page.page.keyboard.press("Escape")
        assert page.errors == []
    finally:
        new.unlink()


def test_every_control_has_a_tooltip(page: Browser) -> None:
    script = """() => [...document.querySelectorAll('[id^=upscale_plus_extras_]')]
        .filter(e => e.matches('.gradio-dropdown, .gradio-slider, .gradio-number, .gradio-textbox, .gradio-checkbox'))
        .filter(e => !e.title).map(e => e.id)"""
    assert page.page.evaluate(script) == []


def test_a_picked_color_is_written_beside_it_and_pads_the_image(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (64, 32))
    page.choose("upscale_plus_extras_target_kind", "Width x height")
    page.number("upscale_plus_extras_width", 100)
    page.number("upscale_plus_extras_height", 100)
    page.choose("upscale_plus_extras_fit", "pad")
    value = "document.querySelector('#upscale_plus_extras_padding').querySelector('input, textarea').value"
    assert page.page.evaluate(value) == "blur"
    page.page.locator("#upscale_plus_extras_padding_color input[type=color]").first.fill("#336699")
    page.page.wait_for_function(f"{value} === '#336699'")
    page.line("64x32 -> 100x100")
    page.page.locator("#extras_generate").first.click()
    page.page.wait_for_function(
        "() => { const i = document.querySelector('#extras_gallery img'); return i && i.naturalWidth === 100 }",
        timeout=90_000,
    )
    color = page.page.evaluate(
        """() => {
            const context = Object.assign(document.createElement('canvas'), {width: 100, height: 100}).getContext('2d');
            context.drawImage(document.querySelector('#extras_gallery img'), 0, 0);
            return [...context.getImageData(50, 2, 1, 1).data].slice(0, 3);
        }"""
    )
    assert color == [0x33, 0x66, 0x99]
    assert page.errors == []


def test_the_settings_page_has_our_section_and_applies_it(page: Browser, webui: WebUI) -> None:
    page.page.locator("#tabs button", has_text="Settings").first.click()
    page.page.locator("#settings button", has_text="Upscale Plus").first.click()
    tile = page.page.locator("#setting_upscale_plus_tile").locator("input, textarea").first
    tile.wait_for(state="visible")
    assert tile.get_attribute("placeholder") == "automatic"
    page.photograph("settings")
    tile.fill("320")
    tile.press("Tab")
    try:
        page.page.locator("#settings_submit").first.click()
        said = "() => document.querySelector('#settings_result').innerText.includes('upscale_plus_tile')"
        page.page.wait_for_function(said)
        assert json.loads((webui.data / "config.json").read_text())["upscale_plus_tile"] == "320"
    finally:
        webui.call("/sdapi/v1/options", {"upscale_plus_tile": ""})
    assert page.errors == []
