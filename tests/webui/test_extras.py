"""The Extras tab of a real WebUI: single pictures, batches and folders, through the API and as the page sends it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.webui.models import NEAREST
from tests.webui.server import Page, WebUI, as_base64, from_base64

pytestmark = pytest.mark.webui


def picture(width: int = 24, height: int = 16, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def repeated(image: Image.Image, factor: int) -> np.ndarray[Any, Any]:
    return np.asarray(image).repeat(factor, 0).repeat(factor, 1)


def single(webui: WebUI, image: Image.Image, **more: Any) -> tuple[int, Any]:
    body = {"image": as_base64(image), "upscaling_resize": 2, "upscaler_1": NEAREST, **more}
    return webui.call("/sdapi/v1/extra-single-image", body)


def run_folder(webui: WebUI, source: Path, results: Path, **controls: Any) -> tuple[list[Any], str]:
    """Batch from directory with our accordion on: (pictures, text shown)."""
    page = Page(webui)
    page.press("extras_batch_directory_tab")
    usual = {"model": NEAREST, "target_kind": "Factor", "scale": 2}
    ours = {f"upscale_plus_extras_{name}": value for name, value in {**usual, **controls}.items()}
    folders = {"extras_batch_input_dir": str(source), "extras_batch_output_dir": str(results)}
    enabled = {"upscale_plus_extras-checkbox": True, "extras_upscale-checkbox": False}
    answer = page.press("extras_generate", {**folders, **enabled, **ours})
    return answer, json.dumps(answer[1:])


def test_an_entry_of_the_host_is_run_by_our_network_to_the_exact_size(webui: WebUI) -> None:
    image = picture(25, 17)
    status, answer = single(webui, image)
    assert status == 200, answer
    assert np.array_equal(np.asarray(from_base64(answer["image"]).convert("RGB")), repeated(image, 2))


def test_a_swinir_in_the_folder_of_esrgan_works(webui: WebUI) -> None:
    status, answer = single(webui, picture(), upscaler_1="SwinIR_in_ESRGAN")
    assert status == 200, answer
    assert from_base64(answer["image"]).size == (48, 32)
    assert "trunk_conv" not in webui.log()


def test_transparency_survives(webui: WebUI) -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    result = from_base64(single(webui, image)[1]["image"])
    assert result.mode == "RGBA"
    assert np.array_equal(np.asarray(result)[..., 3], np.asarray(image)[..., 3].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(("name", "advice"), [("detail_lora", "models/Lora"), ("4x_page", "4x_page.pth")])
def test_a_model_that_fails_is_an_error_with_its_advice(webui: WebUI, name: str, advice: str) -> None:
    status, answer = single(webui, picture(), upscaler_1=name)
    assert status == 500
    assert advice in webui.log()[-8000:]
    assert advice in json.dumps(answer)


def test_the_host_s_batch_goes_on_after_a_picture_that_fails(webui: WebUI) -> None:
    images = [{"data": as_base64(picture(seed=seed)), "name": f"{seed}.png"} for seed in range(2)]
    body = {"imageList": images, "upscaling_resize": 2, "upscaler_1": "detail_lora"}
    status, answer = webui.call("/sdapi/v1/extra-batch-images", body)
    assert status == 200
    assert answer["images"] == []
    assert "2 images failed" in answer["html_info"]
    assert "models/Lora" in answer["html_info"]


def test_a_folder_with_bad_files_is_finished_and_says_what_failed(webui: WebUI, tmp_path: Path) -> None:
    source, results = tmp_path / "in", tmp_path / "out"
    (source / "below").mkdir(parents=True)
    for name in ("a.png", "c.png", "below/a.png"):
        picture().save(source / name)
    whole = (source / "a.png").read_bytes()
    (source / "b.png").write_bytes(whole[: len(whole) // 2])
    (source / "notes.txt").write_text("no picture")
    _, text = run_folder(webui, source, results, recurse=True)
    assert "1 image failed" in text
    assert "b.png" in text
    assert "1 file skipped" in text
    assert sorted(str(p.relative_to(results)) for p in results.rglob("*.png")) == ["a.png", "below/a.png", "c.png"]
    for result in results.rglob("*.png"):
        assert Image.open(result).size == (48, 32)
    assert "b.png" in webui.log()


def test_a_picture_above_the_limit_is_a_failure_of_that_picture(webui: WebUI, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture().save(tmp_path / "in" / "a.png")
    Image.new("RGB", (1200, 1000)).save(tmp_path / "in" / "large.png")
    try:
        webui.call("/sdapi/v1/options", {"upscale_plus_limit_megapixels": 1})
        _, text = run_folder(webui, tmp_path / "in", tmp_path / "out")
    finally:
        webui.call("/sdapi/v1/options", {"upscale_plus_limit_megapixels": 268})
    assert "large.png has 1200x1000 pixels" in text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_a_folder_is_continued_where_it_was_left(webui: WebUI, tmp_path: Path) -> None:
    source, results = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture().save(source / "a.png")
    run_folder(webui, source, results)
    first = (results / "a.png").stat().st_mtime_ns
    picture(seed=1).save(source / "b.png")
    _, text = run_folder(webui, source, results)
    assert "1 image skipped" in text
    assert (results / "a.png").stat().st_mtime_ns == first
    assert (results / "b.png").exists()
    run_folder(webui, source, results, scale=3)
    assert Image.open(results / "a.png").size == (72, 48), "other settings make other results"


def test_results_never_overwrite_their_sources(webui: WebUI, tmp_path: Path) -> None:
    image = picture()
    image.save(tmp_path / "a.png")
    bytes_before = (tmp_path / "a.png").read_bytes()
    _, text = run_folder(webui, tmp_path, tmp_path)
    assert (tmp_path / "a.png").read_bytes() == bytes_before
    assert Image.open(tmp_path / "a-upscaled.png").size == (48, 32)
    assert "1 result renamed" in text
    run_folder(webui, tmp_path, tmp_path, scale=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-upscaled.png", "a.png"]


def test_infotext_names_what_was_done_and_keeps_the_pictures_own(webui: WebUI, tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    own = "a cat\nSteps: 20, Sampler: Euler, Seed: 1"
    texts = PngInfo()
    texts.add_text("parameters", own)
    (tmp_path / "in").mkdir()
    picture().save(tmp_path / "in" / "a.png", pnginfo=texts)
    run_folder(webui, tmp_path / "in", tmp_path / "out")
    saved = Image.open(tmp_path / "out" / "a.png").info
    assert saved["parameters"] == own
    said = saved.get("extras") or saved.get("postprocessing")
    assert f"Upscale Plus upscaler: {NEAREST}" in said
    assert "Upscale Plus scale: 2" in said
    assert "Upscale Plus tiles: 1" in said
    assert "Upscale Plus model hash: " in said


def test_interrupt_acts_within_a_tile_and_the_bar_counts_tiles(webui: WebUI, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    text = PngInfo()
    text.add_text("parameters", "a photo")  # without a text reForge looks for one in all pixels, which takes minutes
    picture(2000, 1600).save(tmp_path / "in" / "large.png", pnginfo=text)
    worker = threading.Thread(
        target=run_folder,
        args=(webui, tmp_path / "in", tmp_path / "out"),
        kwargs={"model": "SwinIR_in_ESRGAN", "tile": 64},
    )
    worker.start()
    seen = []
    try:
        deadline = time.monotonic() + 120
        while len({value for value in seen if value > 0}) < 3 and time.monotonic() < deadline:
            seen.append(webui.call("/sdapi/v1/progress?skip_current_image=true")[1]["progress"])
            time.sleep(0.3)
    finally:
        asked = time.monotonic()
        webui.call("/sdapi/v1/interrupt", {})
        worker.join(60)
    assert not worker.is_alive()
    assert time.monotonic() - asked < 20
    assert len(set(seen)) > 3, seen
    assert max(seen) < 0.9, "one large picture must not look finished at its start"
    assert not list((tmp_path / "out").glob("*.png")), "half a picture is no result"


def test_off_means_that_nothing_is_done(webui: WebUI) -> None:
    image = picture()
    status, answer = single(webui, image, upscaler_1="None")
    assert status == 200
    assert from_base64(answer["image"]).size == image.size


@pytest.mark.usefixtures("checkpoint")
class TestGenerations:
    """Hires fix and img2img, which need a checkpoint."""

    def test_hires_fix_uses_our_network(self, webui: WebUI) -> None:
        status, answer = webui.call("/sdapi/v1/txt2img", self.hires("4x_Nearest"))
        assert status == 200, answer
        assert from_base64(answer["images"][0]).size == (128, 128)

    def test_an_upscaler_that_can_t_work_is_told_before_the_first_pass(self, webui: WebUI) -> None:
        mark = len(webui.log())
        status, answer = webui.call("/sdapi/v1/txt2img", self.hires("detail_lora"))
        assert status == 500
        said = webui.log()[mark:]
        assert "models/Lora" in said
        assert "%|" not in said, "the first pass was sampled all the same"
        assert "models/Lora" in json.dumps(answer)

    def test_img2img_uses_our_network_and_fails_loudly(self, webui: WebUI) -> None:
        body = {
            "init_images": [as_base64(picture(64, 64))],
            "width": 128,
            "height": 128,
            "steps": 1,
            "prompt": "x",
            "override_settings": {"upscaler_for_img2img": "detail_lora"},
        }
        assert webui.call("/sdapi/v1/img2img", body)[0] == 500
        body["override_settings"] = {"upscaler_for_img2img": "4x_Nearest"}
        status, answer = webui.call("/sdapi/v1/img2img", body)
        assert status == 200, answer
        assert from_base64(answer["images"][0]).size == (128, 128)

    @staticmethod
    def hires(upscaler: str) -> dict[str, Any]:
        return {
            "prompt": "x",
            "steps": 1,
            "width": 64,
            "height": 64,
            "enable_hr": True,
            "hr_scale": 2,
            "hr_upscaler": upscaler,
            "denoising_strength": 0.5,
        }
