"""The lines that say what will happen, in a real browser: they belong to what the page shows now, and are readable."""

from __future__ import annotations

import shutil
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.webui.models import NEAREST
from tests.webui.server import WebUI
from tests.webui.test_extras_page import Browser, browser, page, put_picture
from tests.webui.test_sd_upscale_page import Img2Img, tab

pytestmark = pytest.mark.webui

__all__ = ["browser", "page", "tab"]

COUNT = """(id) => { window.asked = 0; document.getElementById(id).addEventListener('click', () => window.asked++) }"""
LEAST_OPACITY = """() => {
    window.opacity = 1;
    const look = () => {
        let shown = 1;
        for (let e = document.querySelector('.upscale-plus-good'); e; e = e.parentElement)
            shown *= Number(getComputedStyle(e).opacity);
        window.opacity = Math.min(window.opacity, shown);
        requestAnimationFrame(look);
    };
    look();
}"""


def type_into(page: Browser, elem_id: str, text: str, delay: int) -> None:
    field = page.page.locator(f"#{elem_id} input[type=number]").first
    field.click()
    page.page.keyboard.press("Control+A")
    page.page.keyboard.type(text, delay=delay)
    field.press("Tab")


def ends_as(page: Browser, expected: str) -> None:
    """The line comes to say that, and stays."""
    page.line(expected)
    page.page.wait_for_timeout(1000)
    assert expected in page.page.locator(page.plan).first.inner_text()


def open_tab(page: Browser, title: str) -> None:
    page.page.locator("#mode_extras button", has_text=title).first.click()
    page.page.wait_for_timeout(1000)


def test_a_number_typed_at_any_speed_is_the_one_that_the_line_tells(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (64, 50))
    page.line("64x50 -> 128x100")
    page.choose("upscale_plus_extras_target_kind", "Width x height")
    type_into(page, "upscale_plus_extras_height", "20000", 10)
    page.page.evaluate(LEAST_OPACITY)
    for delay in (10, 40, 90, 150):
        for width, expected in (("1920", "1920x1500"), ("1600", "1600x1250")):
            type_into(page, "upscale_plus_extras_width", width, delay)
            ends_as(page, f"64x50 -> {expected}:")
    assert page.page.evaluate("window.opacity") == 1, "the line fades at every key"
    assert page.errors == []


def test_an_emptied_number_and_a_dragged_slider_are_followed(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (100, 50))
    page.choose("upscale_plus_extras_target_kind", "Width x height")
    page.line("100x50 -> 1920x960")
    page.page.locator("#upscale_plus_extras_width input").first.fill("")
    page.line("100x50 -> 2160x1080")
    page.choose("upscale_plus_extras_target_kind", "Factor")
    slider = page.page.locator("#upscale_plus_extras_scale input[type=range]").first
    box = slider.bounding_box()
    mouse, y = page.page.mouse, box["y"] + box["height"] / 2
    for share in (0.7, 0.3):
        mouse.move(box["x"] + box["width"] * 0.1, y)
        mouse.down()
        for step in range(30):
            mouse.move(box["x"] + box["width"] * (0.1 + (share - 0.1) * step / 29), y)
            page.page.wait_for_timeout(10)
        mouse.up()
        page.page.wait_for_timeout(1000)  # until the slider's number has followed
        scale = Decimal(page.value("upscale_plus_extras_scale"))  # 50 * 4.35 of floats is less than 217.5
        width, height = (int((side * scale).to_integral_value(ROUND_HALF_UP)) for side in (100, 50))
        ends_as(page, f"100x50 -> {width}x{height}:")


def test_a_scale_beyond_the_slider_ends_as_the_field_and_the_line_say(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (100, 50))
    for typed, scale, expected in (("100", "16", "1600x800"), ("0", "0.25", "25x13")):
        type_into(page, "upscale_plus_extras_scale", typed, 60)
        ends_as(page, f"100x50 -> {expected}:")
        assert page.value("upscale_plus_extras_scale") == scale


def test_an_automatic_number_says_what_it_is_for_this_image(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (64, 50))
    page.line("64x50 -> 128x100")
    page.page.locator("#upscale_plus_extras_details .label-wrap").first.click()
    field = "document.querySelector('#upscale_plus_extras_tile input, #upscale_plus_extras_tile textarea')"
    page.page.wait_for_function(f"{field}.placeholder === 'automatic: 64'")
    title = "document.querySelector('#upscale_plus_extras_tile').title"
    assert page.page.evaluate(title).endswith("For this image: 64.")
    page.number("upscale_plus_extras_tile", 48)
    page.line("tiles")
    page.page.wait_for_function(f"{field}.placeholder === 'automatic'")
    assert "For this image" not in page.page.evaluate(title)


@pytest.mark.usefixtures("checkpoint")
def test_a_pasted_infotext_is_answered_once(tab: Img2Img) -> None:
    tab.line("120x96 -> 240x192")
    tab.page.wait_for_timeout(1500)
    tab.page.evaluate(COUNT, "upscale_plus_redraw_ask")
    ours = {
        "upscaler": "Lanczos",
        "scale": "3.0",
        "tile": "128",
        "overlap": "24",
        "skip flat tiles": "1",
        "passes": "2",
    }
    settings = ", ".join(f"SD upscale plus {name}: {value}" for name, value in ours.items())
    text = f"a cat\nSteps: 9, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Script: SD upscale plus, {settings}"
    tab.page.locator("#img2img_prompt textarea").first.fill(text)
    tab.page.locator("#tab_img2img #paste").first.click()
    tab.line("120x96 -> 360x288")
    tab.page.wait_for_timeout(2000)
    # Once for all, and once more where the page shows the rest of it only after that answer.
    assert tab.page.evaluate("window.asked") <= 2


def test_what_is_no_upscaler_is_said_at_refresh_while_an_image_is_loaded(
    page: Browser, webui: WebUI, tmp_path: Path
) -> None:
    put_picture(page, tmp_path, (40, 30))
    page.line("40x30 -> 80x60")
    new = webui.data / "models" / "ESRGAN" / "saved_page.pth"
    new.write_bytes(b"<!DOCTYPE html><html><body>Sign in to download</body></html>")
    try:
        page.page.locator("#upscale_plus_extras_refresh").first.click()
        assert "40x30 -> 80x60" in page.line("saved_page.pth")
    finally:
        new.unlink()


def test_the_tabs_for_many_images_tell_of_their_batch(page: Browser, tmp_path: Path) -> None:
    put_picture(page, tmp_path, (40, 30))
    page.line("40x30 -> 80x60")
    for title in ("Batch Process", "Batch from Directory"):
        open_tab(page, title)
        assert "40x30" not in page.line("Every image of the batch gets its own size and tiles")
    open_tab(page, "Single Image")
    page.line("40x30 -> 80x60")


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_folder_without_images_is_said_in_words(page: Browser, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / kind
    if kind == "empty":
        folder.mkdir()
    open_tab(page, "Batch from Directory")
    page.page.locator("#extras_batch_input_dir textarea").first.fill(str(folder))
    page.page.wait_for_timeout(1000)
    page.page.locator("#extras_generate").first.click()
    expected = "no images in" if kind == "empty" else "does not exist"
    page.page.wait_for_function(
        "(text) => document.querySelector('#extras_results').innerText.includes(text)", arg=expected, timeout=30_000
    )
    said = page.page.locator("#extras_results").first.inner_text()
    assert str(folder) in said
    assert "Error" not in said


def test_a_model_that_is_taken_away_leaves_all_lists_at_refresh(page: Browser, webui: WebUI, tmp_path: Path) -> None:
    new = webui.data / "models" / "ESRGAN" / "2x_Fleeting.pth"
    shutil.copy(webui.data / "models" / "ESRGAN" / f"{NEAREST}.pth", new)
    put_picture(page, tmp_path, (40, 30))
    refresh = page.page.locator("#upscale_plus_extras_refresh").first
    try:
        refresh.click()
        page.page.wait_for_timeout(1500)
        assert "2x_Fleeting" in webui.upscalers()
        page.choose("upscale_plus_extras_model", "2x_Fleeting")
        page.line("2x_Fleeting")
    finally:
        new.unlink()
    refresh.click()
    page.page.wait_for_timeout(2500)
    assert "2x_Fleeting" not in page.value("upscale_plus_extras_model"), "another one is chosen"
    ends_as(page, "40x30 -> 80x60:")
    assert "2x_Fleeting" not in webui.upscalers()


@pytest.mark.parametrize("width", [1400, 480])
def test_the_section_beside_hires_fix_has_a_row_of_its_own_and_errors_are_seen(
    browser: Any, webui: WebUI, width: int
) -> None:
    section = Browser(browser.new_page(viewport={"width": width, "height": 1600}))
    section.plan = "#upscale_plus_hires_plan"
    section.page.goto(f"{webui.url}?__theme=dark", wait_until="domcontentloaded")
    section.page.wait_for_selector("#txt2img_generate", state="visible", timeout=90_000)
    section.page.wait_for_timeout(2000)
    section.page.locator("#upscale_plus_hires .label-wrap").first.click()
    section.page.wait_for_selector("#upscale_plus_hires_tile", state="visible")
    section.page.locator("#txt2img_hr .label-wrap").first.click()
    section.page.wait_for_timeout(1000)
    sizes = [
        section.page.locator(selector).first.bounding_box() for selector in ("#upscale_plus_hires", "#txt2img_settings")
    ]
    assert sizes[0]["width"] > 0.9 * sizes[1]["width"], sizes
    section.number("upscale_plus_hires_overlap", 4000)
    section.line("at most")
    color = section.page.evaluate("getComputedStyle(document.querySelector('.upscale-plus-bad')).color")
    red, green, blue = (int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))
    assert red > green + 80, color
    assert red > blue + 80, color
    section.page.close()
