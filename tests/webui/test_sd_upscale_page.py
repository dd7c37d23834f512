"""The script as a person uses it, in a real browser: choose it, read the line, Generate, send the result back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.webui.server import Page, WebUI
from tests.webui.test_extras_page import Browser, browser
from tests.webui.test_sd_upscale import picture

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

__all__ = ["browser"]

TITLE = "SD upscale plus"


class Img2Img(Browser):
    """The img2img tab with our script chosen."""

    plan = "#upscale_plus_redraw_plan"

    def open_script(self, url: str, file: Path) -> None:
        self.page.goto(url, wait_until="domcontentloaded")
        self.page.wait_for_selector("#txt2img_generate", state="visible", timeout=90_000)
        self.page.wait_for_timeout(2000)
        self.page.locator("#tabs button", has_text="img2img").first.click()
        self.page.locator("#img2img_image input[type=file]").first.set_input_files(str(file))
        self.choose("tab_img2img #script_list", TITLE)
        self.page.wait_for_selector("#upscale_plus_redraw_tile", state="visible")


@pytest.fixture
def tab(browser: Any, webui: WebUI, tmp_path: Path) -> Iterator[Img2Img]:
    opened = Img2Img(browser.new_page(viewport={"width": 1400, "height": 2200}))
    file = tmp_path / "source.png"
    picture(120, 96).save(file)
    opened.open_script(webui.url, file)
    yield opened
    opened.page.close()


def test_the_line_promises_what_comes_and_the_result_restores_the_controls(tab: Img2Img, webui: WebUI) -> None:
    tab.choose("upscale_plus_redraw_upscaler", "Lanczos")
    tab.number("upscale_plus_redraw_scale", 2.5)
    tab.number("upscale_plus_redraw_tile", 128)
    tab.number("upscale_plus_redraw_overlap", 24)
    tab.number("img2img_steps", 3)
    line = tab.line("3x3 tiles of 128x128")
    assert "120x96 -> 300x240" in line
    assert "width and height are ignored" in line
    tab.page.locator("#img2img_generate").first.click()
    script = "() => document.querySelector('#html_info_img2img').innerText.includes('SD upscale plus tile: 128')"
    tab.page.wait_for_function(script, timeout=120_000)
    tab.photograph("script-after")
    size = (
        "() => { const i = document.querySelector('#img2img_gallery img'); return [i.naturalWidth, i.naturalHeight] }"
    )
    assert tab.page.evaluate(size) == [300, 240]
    text = tab.page.locator("#html_info_img2img").first.inner_text()
    tab.number("upscale_plus_redraw_tile", 256)
    tab.number("upscale_plus_redraw_scale", 2)
    tab.page.locator("#img2img_prompt textarea").first.fill(text)
    tab.page.locator("#tab_img2img #paste").first.click()
    tab.line("3x3 tiles of 128x128")
    assert tab.value("upscale_plus_redraw_overlap") == "24"
    assert tab.errors == []


def test_what_cannot_be_done_is_said_on_the_page_and_is_no_error_in_the_console(tab: Img2Img, webui: WebUI) -> None:
    mark = len(webui.log())
    tab.number("upscale_plus_redraw_tile", 128)
    tab.number("upscale_plus_redraw_overlap", 100)
    tab.line("half of a tile")
    tab.page.locator("#img2img_generate").first.click()
    tab.page.wait_for_function("() => document.querySelector('#html_log_img2img').innerText.includes('half of a tile')")
    assert tab.page.locator("#img2img_gallery img").count() == 0
    said = webui.log()[mark:]
    assert "half of a tile" in said
    assert "Traceback" not in said


def test_the_test_of_one_tile_is_what_the_line_said_and_names_a_random_seed(tab: Img2Img) -> None:
    for name, value in {"scale": 2.5, "tile": 128, "overlap": 24, "test_tile": 4}.items():
        tab.number(f"upscale_plus_redraw_{name}", value)
    tab.choose("upscale_plus_redraw_upscaler", "Lanczos")
    tab.number("img2img_steps", 3)
    tab.line("3x3 tiles of 128x128")
    tab.page.locator("#upscale_plus_redraw_test input").first.check()
    tab.line("Test of tile 4 of 9, 128x128")
    tab.page.locator("#img2img_generate").first.click()
    tab.page.wait_for_function(
        "() => document.querySelector('#html_log_img2img').innerText.includes('Tested with the seed')",
        timeout=120_000,
    )
    said = tab.page.locator("#html_log_img2img").first.inner_text()
    text = tab.page.locator("#html_info_img2img").first.inner_text()
    assert "SD upscale plus test: tile 4 of 9" in text
    seed = text.partition("Seed: ")[2].partition(",")[0]
    assert int(seed) >= 0
    assert f"Tested with the seed {seed}: set it to get this tile in the full run." in said
    # Once the live preview of the whole image is gone.
    tab.page.wait_for_function("() => document.querySelector('#img2img_gallery img').naturalWidth === 128")


def test_a_directory_keeps_its_names_in_the_output_folder(tab: Img2Img, webui: WebUI, tmp_path: Path) -> None:
    if (kept := "img2img_batch_use_original_name") in webui.call("/sdapi/v1/options")[1]:
        webui.call("/sdapi/v1/options", {kept: True})  # Forge asks
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture(80, 60).save(source / "first.png")
    picture(60, 80).save(source / "second.png")
    tab.choose("upscale_plus_redraw_upscaler", "Lanczos")
    tab.number("upscale_plus_redraw_tile", 128)
    tab.number("img2img_steps", 2)
    tab.page.locator("#mode_img2img button", has_text="Batch").first.click()
    tab.page.locator("#img2img_batch_tabitem button, #mode_img2img button", has_text="From directory").first.click()
    tab.page.locator("#img2img_batch_input_dir textarea").first.fill(str(source))
    tab.page.locator("#img2img_batch_output_dir textarea").first.fill(str(output))
    tab.page.wait_for_timeout(1500)
    tab.page.locator("#img2img_generate").first.click()
    script = "() => document.querySelector('#html_info_img2img').innerText.includes('Script: SD upscale plus')"
    tab.page.wait_for_function(script, timeout=120_000)
    sizes = {path.name.rpartition("-")[2]: Image.open(path).size for path in output.glob("*.png")}
    assert sizes == {"first.png": (160, 120), "second.png": (120, 160)}


def test_every_control_has_a_tooltip(tab: Img2Img) -> None:
    script = """() => [...document.querySelectorAll('[id^=upscale_plus_redraw_]')]
        .filter(e => e.matches('.gradio-dropdown, .gradio-slider, .gradio-number, .gradio-textbox, .gradio-checkbox'))
        .filter(e => !e.title).map(e => e.id)"""
    assert tab.page.evaluate(script) == []


def test_the_plot_has_our_axes_once(webui: WebUI) -> None:
    for _ in range(2):
        webui.reload()
    found = json.dumps(Page(webui)._config)
    assert found.count('"[SD upscale plus] Tile"') >= 1


@pytest.mark.parametrize(("tab", "line"), [("img2img", "upscale_plus_redraw"), ("txt2img", "upscale_plus_hires")])
def test_the_line_is_told_which_units_of_controlnet_are_on(webui: WebUI, tab: str, line: str) -> None:
    page = Page(webui)
    known = {c["id"]: str(c["props"].get("elem_id")) for c in page._config["components"]}
    switches = {key for key, name in known.items() if name.startswith(tab) and name.endswith("_enable_checkbox")}
    if not switches:
        pytest.skip("this WebUI has no ControlNet")
    _, event = page._event(page.component(f"{line}_ask")["id"])
    assert switches <= set(event["inputs"])


def test_a_picture_in_the_inpaint_tab_is_spoken_of_and_the_page_stays_alive(tab: Img2Img, tmp_path: Path) -> None:
    """gradio 3 said "changed" of such a picture again after each answer: the page was busy for ever."""
    file = tmp_path / "masked.png"
    picture(160, 128).save(file)
    tab.number("img2img_steps", 2)
    tabs = tab.page.locator("#mode_img2img .tab-nav button")
    tabs.filter(has_text="Inpaint").first.click()
    tab.page.wait_for_timeout(1000)
    tab.page.locator("#img2maskimg input[type=file]").first.set_input_files(str(file))
    tab.line("160x128 -> 320x256")
    tab.page.wait_for_timeout(2000)
    tabs.filter(has_text="img2img").first.click()
    tab.line("120x96 -> 240x192")
    tab.page.locator("#img2img_generate").first.click(timeout=20_000)
    script = "() => document.querySelector('#html_info_img2img').innerText.includes('Script: SD upscale plus')"
    tab.page.wait_for_function(script, timeout=60_000)


def resting_place(element: Any) -> dict[str, float]:
    """Where an element is on the page, once that has not changed for a second: a canvas is fitted late."""
    place, before = element.bounding_box(), None
    while place != before:
        element.page.wait_for_timeout(1000)
        place, before = element.bounding_box(), place
    return dict(place)


def paint(tab: Img2Img, name: str, component: str, file: Path) -> tuple[int, int]:
    """Put an image into a tab and draw over its middle: the tiles that the line then says are touched, and all."""
    picture(160, 128).save(file)
    for setting, value in {"scale": 6, "tile": 128, "overlap": 16}.items():
        tab.number(f"upscale_plus_redraw_{setting}", value)
    tab.choose("upscale_plus_redraw_upscaler", "Lanczos")
    tab.page.locator("#mode_img2img .tab-nav button").filter(has_text=name).first.click()
    tab.page.wait_for_timeout(1000)
    tab.page.locator(f"#{component} input[type=file]").first.set_input_files(str(file))
    tab.line("160x128 -> 960x768")
    if component == "img2maskimg":  # of a sketch gradio 3 may not know
        tab.line("nothing is masked yet")
    mouse, canvas = tab.page.mouse, tab.page.locator(f"#{component} canvas").first
    box = resting_place(canvas)
    mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    box = resting_place(canvas)
    mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    mouse.down()
    for share in (0.4, 0.5, 0.6, 0.7):
        mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"], steps=5)
        tab.page.wait_for_timeout(50)
    mouse.up()
    found = re.search(r"the mask touches (\d+) of (\d+) tiles", tab.line("tiles, which are redrawn"))
    assert found is not None
    return int(found[1]), int(found[2])


def test_the_line_counts_the_tiles_under_what_is_painted(tab: Img2Img, tmp_path: Path) -> None:
    touched, tiles = paint(tab, "Inpaint", "img2maskimg", tmp_path / "masked.png")
    assert 0 < touched < tiles, "a stroke from corner to corner leaves tiles out"
    tab.number("img2img_steps", 1)
    tab.page.locator("#img2img_generate").first.click(timeout=20_000)
    script = "() => document.querySelector('#html_info_img2img').innerText.includes('Script: SD upscale plus')"
    tab.page.wait_for_function(script, timeout=280_000)
    assert "everything is masked" not in tab.line("the mask touches"), "the time is known now"


def test_the_line_counts_the_tiles_under_a_sketch(tab: Img2Img, tmp_path: Path) -> None:
    touched, tiles = paint(tab, "Inpaint sketch", "inpaint_sketch", tmp_path / "sketch.png")
    assert 0 < touched < tiles


def test_the_line_follows_a_control_and_a_page_left_alone_asks_for_nothing(tab: Img2Img) -> None:
    """On gradio 4 the line never followed, and events of `gr.HTML` came without end."""
    requests: list[str] = []
    tab.number("upscale_plus_redraw_tile", 128)
    tab.line("tiles of 128x128")
    tab.number("upscale_plus_redraw_tile", 256)
    tab.line("1x1 tiles")
    tab.page.wait_for_timeout(3000)
    tab.page.on("request", lambda request: requests.append(request.url))
    tab.page.on("websocket", lambda socket: requests.append(socket.url))
    tab.page.wait_for_timeout(10_000)
    assert [url for url in requests if "/queue/" in url or "/run/" in url] == []


def test_interrupt_pressed_once_stops_the_redraw_of_one_image(tab: Img2Img) -> None:
    tab.choose("upscale_plus_redraw_upscaler", "Lanczos")
    tab.number("upscale_plus_redraw_scale", 4)
    tab.number("upscale_plus_redraw_tile", 128)
    tab.number("img2img_steps", 60)
    tab.line("tiles of 128x128")
    tab.page.locator("#img2img_generate").first.click()
    tab.page.wait_for_function("() => document.body.innerText.includes('tile 2 of')", timeout=120_000)
    tab.page.locator("#img2img_interrupt").first.click()
    script = "() => document.querySelector('#html_info_img2img').innerText.includes('Script: SD upscale plus')"
    tab.page.wait_for_function(script, timeout=120_000)
    text = tab.page.locator("#html_info_img2img").first.inner_text()
    assert "SD upscale plus partial: " in text
    assert int(text.partition("SD upscale plus partial: ")[2].split()[0].strip('"')) <= 3
