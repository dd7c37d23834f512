"""The script "SD upscale plus" in a real WebUI: exact sizes, one noise, resuming, and all that is the host's own."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.webui.server import WebUI, as_base64, from_base64

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

REDRAW = "/upscale-plus/v1/redraw"
USUAL: dict[str, Any] = {
    "prompt": "a photo",
    "steps": 4,
    "denoising_strength": 0.6,
    "sampler_name": "Euler a",
    "seed": 5,
    "upscaler": "Lanczos",
    "scale": 2.0,
    "tile": 128,
    "overlap": 32,
    "color_lock": "off",
}
LARGE: dict[str, Any] = {"scale": 8.0, "steps": 8, "tile": 256}
"""Slow enough to be stopped in the middle."""
OTHER = "a photo of bricks"
"""A checkpoint with random weights may draw nothing at all for a single word."""


def picture(width: int = 120, height: int = 96) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(rows / (7 + c) + columns / (11 - 2 * c)) for c in range(3)]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def ask(webui: WebUI, image: Image.Image | None = None, **values: Any) -> tuple[int, Any]:
    body = {**USUAL, "image": values.pop("source", None) or as_base64(image or picture()), **values}
    return webui.call(REDRAW, {key: value for key, value in body.items() if value is not None})


def redrawn(webui: WebUI, image: Image.Image | None = None, **values: Any) -> NDArray[np.int64]:
    status, answer = ask(webui, image, **values)
    assert status == 200, answer
    return pixels(answer["images"][0])


def pixels(text: str) -> NDArray[np.int64]:
    return np.asarray(from_base64(text).convert("RGB"), dtype=np.int64)


def lanczos(image: Image.Image, width: int, height: int) -> NDArray[np.int64]:
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), dtype=np.int64)


def tiles_kept(webui: WebUI) -> list[Path]:
    return list((webui.data / "upscale-plus" / "unfinished").glob("*/*.tile"))


class Asked(threading.Thread):
    """A request that is under way."""

    def __init__(self, webui: WebUI, **values: Any) -> None:
        super().__init__(daemon=True)
        self._webui, self._values = webui, values
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = ask(self._webui, **self._values)
        except OSError:
            self.answer = None  # the server was killed

    def wait_for_tiles(self, count: int) -> None:
        while len(tiles_kept(self._webui)) < count:
            assert self.is_alive(), self.answer
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ({"scale": 2.5}, (300, 240)),
        ({"scale": None, "width": 201, "height": 133, "fit": "cover"}, (201, 133)),
        ({"scale": None, "longest": 150}, (150, 120)),
    ],
)
def test_the_size_is_exact(webui: WebUI, target: dict[str, Any], size: tuple[int, int]) -> None:
    assert redrawn(webui, **target).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE", "DDIM"])
def test_order_changes_nothing_and_batches_at_most_a_level(webui: WebUI, sampler: str) -> None:
    first = redrawn(webui, sampler_name=sampler)
    assert np.array_equal(redrawn(webui, sampler_name=sampler, order="spiral"), first)
    assert np.abs(redrawn(webui, sampler_name=sampler, order="checkerboard", batch_size=3) - first).max() <= 1


def test_neighbors_start_from_the_same_noise(webui: WebUI) -> None:
    """One tile redrawn alone is the tile of the whole, and a tile elsewhere is another."""
    whole = redrawn(webui, blend="cut")
    tile = redrawn(webui, test=True, test_tile=1)
    assert tile.shape == (128, 128, 3)
    assert np.array_equal(tile[:60, :50], whole[:60, :50])


def test_it_is_as_much_of_a_redraw_as_the_hosts_own(webui: WebUI) -> None:
    image = picture(128, 128)
    ours = redrawn(webui, image, tile=256)
    body = {
        **{key: USUAL[key] for key in ("prompt", "steps", "denoising_strength", "sampler_name", "seed")},
        "init_images": [as_base64(image.resize((256, 256), Image.Resampling.LANCZOS))],
        "width": 256,
        "height": 256,
    }
    status, answer = webui.call("/sdapi/v1/img2img", body)
    assert status == 200, answer
    theirs, before = pixels(answer["images"][0]), lanczos(image, 256, 256)
    change = np.abs(ours - before).mean() / np.abs(theirs - before).mean()
    detail = np.abs(np.diff(ours, axis=1)).mean() / np.abs(np.diff(theirs, axis=1)).mean()
    assert 0.9 < change < 1.1
    assert 0.9 < detail < 1.1


def test_in_lockstep_it_is_the_redraw_of_the_whole_picture(webui: WebUI) -> None:
    """One tile is the host's own img2img with one noise; nine tiles come near to it."""
    whole, ours = redrawn(webui, method="joint", tile=512), redrawn(webui, method="joint")
    other = redrawn(webui, method="joint", tile=512, seed=6)
    assert not np.array_equal(ours, whole)
    assert np.abs(ours - whole).mean() < 0.25 * np.abs(other - whole).mean()
    assert redrawn(webui, method="joint", scale=1.71).shape == (164, 205, 3)


def test_in_lockstep_regions_have_prompts_of_their_own(webui: WebUI) -> None:
    plain = redrawn(webui, method="joint")
    halves = redrawn(webui, method="joint", regions=f"0, 0, 40, 100: {OTHER}")
    change = np.abs(halves - plain).mean(axis=(0, 2))
    assert change[:70].mean() > 2 * change[-60:].mean()


def test_batch_count_adds_one_to_the_seed_of_each_picture(webui: WebUI) -> None:
    status, answer = ask(webui, n_iter=2)
    assert status == 200, answer
    assert answer["info"]["all_seeds"] == [5, 6]
    second = pixels(answer["images"][-1])
    assert np.array_equal(second, redrawn(webui, seed=6))
    assert not np.array_equal(second, redrawn(webui, seed=5))


def test_outside_the_mask_every_pixel_stays(webui: WebUI) -> None:
    mask = Image.new("L", (120, 96), 0)
    mask.paste(255, (10, 10, 50, 50))
    result = redrawn(webui, mask=as_base64(mask), mask_blur=0, mask_padding=16)
    before = lanczos(picture(), 240, 192)
    assert np.abs(result[130:] - before[130:]).max() <= 1
    assert np.abs(result[:, 130:] - before[:, 130:]).max() <= 1
    assert np.abs(result[30:90, 30:90] - before[30:90, 30:90]).mean() > 5


def test_flat_tiles_are_left_as_they_are(webui: WebUI) -> None:
    flat = picture(120, 192)
    flat.paste((90, 120, 200), (0, 0, 120, 90))
    result = redrawn(webui, flat, skip_flat=6.0, order="checkerboard")
    assert np.abs(result[:80] - lanczos(flat, 240, 384)[:80]).max() <= 1
    assert np.abs(result[-80:] - lanczos(flat, 240, 384)[-80:]).mean() > 5


def test_colors_are_locked_to_the_upscaled_picture(webui: WebUI) -> None:
    before = lanczos(picture(), 240, 192)

    def drift(lock: str) -> float:
        result = redrawn(webui, color_lock=lock)
        return float(np.abs((result - before).reshape(6, 32, 240, 3).mean(axis=(1, 2))).mean())

    assert drift("wavelet") < 0.5 * drift("off")


def test_every_call_by_position_as_the_host_wants_it(webui: WebUI) -> None:
    scripts = webui.call("/sdapi/v1/script-info")[1]
    labels = [a["label"] for s in scripts if s["name"] == "sd upscale plus" and s["is_img2img"] for a in s["args"]]
    values = {
        "Upscaler": "Lanczos",
        "Target": "Factor",
        "Scale": 2.0,
        "Tile": 128,
        "Overlap": 32,
        "Color lock": "off",
    }
    assert set(values) <= set(labels)
    body = {
        **{key: USUAL[key] for key in ("prompt", "steps", "denoising_strength", "sampler_name", "seed")},
        "init_images": [as_base64(picture())],
        "script_name": "SD upscale plus",
        "script_args": [values.get(label) for label in labels],
    }
    status, answer = webui.call("/sdapi/v1/img2img", body)
    assert status == 200, answer
    assert np.array_equal(pixels(answer["images"][0]), redrawn(webui))


def test_what_is_saved_is_saved_once(webui: WebUI) -> None:
    before = webui.saved_images()
    status, answer = ask(webui, save_images=True, save_upscaled=True)
    assert status == 200, answer
    assert len(answer["images"]) == 2
    new = webui.saved_images() - before
    assert len(new) == 2
    assert {Image.open(path).size for path in new} == {(240, 192)}
    text = (webui.data / "params.txt").read_text()
    assert "Script: SD upscale plus" in text
    assert "Size: 240x192" in text
    assert "SD upscale plus tile: 128" in answer["info"]["infotexts"][0]


def test_the_host_is_as_it_was(webui: WebUI) -> None:
    def usual() -> Any:
        body = {"prompt": "x", "steps": 3, "width": 128, "height": 128, "seed": 3, "sampler_name": "Euler a"}
        return webui.call("/sdapi/v1/txt2img", body)[1]["images"][0]

    before, options = usual(), webui.call("/sdapi/v1/options")[1]
    redrawn(webui, batch_size=2)
    assert ask(webui, tile=32)[0] == 422
    assert np.array_equal(pixels(usual()), pixels(before))
    assert webui.call("/sdapi/v1/options")[1] == options
    assert tiles_kept(webui) == []


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ({"sampler_name": "DPM adaptive"}, 422, "choose another sampler"),
        ({"tile": 32}, 422, "64"),
        ({"tile": 128, "overlap": 64}, 422, "half"),
        ({"upscaler": "no such model"}, 404, "no such model"),
        ({"passes": 2, "strengths": "0.3"}, 422, "2 passes"),
        ({"regions": "0, 0, 50: a tree"}, 422, "Line 1"),
        ({"scale": 2, "longest": 100}, 422, "more than once"),
        ({"test": True, "test_tile": 99}, 422, "99"),
        ({"source": "nonsense!"}, 422, "base64"),
        ({"nonsense": 1}, 422, "nonsense"),
    ],
)
def test_what_cannot_be_done_is_said(webui: WebUI, values: dict[str, Any], status: int, reason: str) -> None:
    samplers = [sampler["name"] for sampler in webui.call("/sdapi/v1/samplers")[1]]
    if values.get("sampler_name", samplers[0]) not in samplers:
        pytest.skip("this WebUI does not have that sampler, and takes another in its place")
    got, answer = ask(webui, **values)
    assert got == status, answer
    assert reason in json.dumps(answer)


def test_several_passes_and_other_prompts_for_tiles(webui: WebUI) -> None:
    plain = redrawn(webui)
    other = redrawn(webui, prompt_source="tile", tile_prompt=OTHER)
    assert not np.array_equal(plain, other)
    halves = redrawn(webui, regions=f"0, 0, 50, 100: {OTHER}")
    assert np.array_equal(halves[:, 200:], plain[:, 200:]), "tiles of the region are blended in up to there"
    assert not np.array_equal(halves[:, :50], plain[:, :50])
    assert redrawn(webui, scale=4.0, passes=2, strengths="0.5, 0.3").shape == (384, 480, 3)


def test_progress_counts_tiles_and_shows_the_canvas(webui: WebUI) -> None:
    running = Asked(webui, **LARGE)
    seen: list[tuple[float, str]] = []
    sizes = set()
    while running.is_alive():
        status = webui.call("/sdapi/v1/progress")[1]
        if status["textinfo"]:
            seen.append((status["progress"], status["textinfo"]))
        if status["current_image"]:
            sizes.add(from_base64(status["current_image"]).size)
        time.sleep(0.05)
    assert running.answer[0] == 200, running.answer
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert any(text.startswith("tile 1 of ") for _, text in seen)
    assert sizes == {(768, 614)}


def test_interrupting_keeps_what_is_done_over_the_upscaled_picture(webui: WebUI) -> None:
    running = Asked(webui, seed=77, **LARGE)
    running.wait_for_tiles(3)
    webui.call("/sdapi/v1/interrupt", {})
    running.join()
    status, answer = running.answer
    assert status == 200, answer
    assert "SD upscale plus partial: " in answer["info"]["infotexts"][0]
    result, before = pixels(answer["images"][0]), lanczos(picture(), 960, 768)
    assert np.abs(result[-100:, -100:] - before[-100:, -100:]).max() <= 2
    assert np.abs(result[:100, :100] - before[:100, :100]).mean() > 5


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(webui: WebUI) -> None:
    whole = redrawn(webui, seed=78, resume=False, **LARGE)
    assert tiles_kept(webui) == [path for path in tiles_kept(webui) if "-78" not in path.parent.name]
    running = Asked(webui, seed=78, **LARGE)
    while not [path for path in tiles_kept(webui) if path.parent.name.endswith("-78")][4:]:
        assert running.is_alive(), running.answer
        time.sleep(0.02)
    webui.kill()
    running.join()
    kept = {path: path.stat().st_mtime_ns for path in tiles_kept(webui) if path.parent.name.endswith("-78")}
    assert len(kept) >= 5
    webui.start()
    mark = len(webui.log())
    # A random seed stays random: what was not finished goes on with its own.
    running = Asked(webui, **{**LARGE, "seed": -1})
    while not [path for path in tiles_kept(webui) if not path.parent.name.endswith("-78")]:
        assert running.is_alive(), running.answer
        time.sleep(0.02)
    webui.call("/sdapi/v1/interrupt", {})
    running.join()
    assert running.answer[0] == 200, running.answer
    assert running.answer[1]["info"]["seed"] != 78
    status, answer = ask(webui, **{**LARGE, "seed": 78})
    assert status == 200, answer
    assert f"{len(kept)} tiles are finished already" in webui.log()[mark:]
    assert np.array_equal(pixels(answer["images"][0]), whole)
    assert not [path for path in tiles_kept(webui) if path.parent.name.endswith("-78")]
