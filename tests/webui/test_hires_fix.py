"""Hires fix by tiles in a real WebUI: exact sizes, the host's own result in one tile, and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.webui.server import WebUI, from_base64
from tests.webui.test_sd_upscale_plot import plot_arguments

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

USUAL: dict[str, Any] = {
    "prompt": "a photo",
    "negative_prompt": "blurry",
    "steps": 4,
    "width": 128,
    "height": 128,
    "seed": 5,
    "sampler_name": "Euler",
    "denoising_strength": 0.6,
    "enable_hr": True,
    "hr_scale": 2.0,
    "hr_upscaler": "Lanczos",
}
JOINT: dict[str, Any] = {"enabled": True, "method": "joint", "tile": 128, "overlap": 32}
TILES: dict[str, Any] = {"enabled": True, "method": "tiles", "tile": 128, "overlap": 32}
OTHER = "a photo of bricks"
"""A checkpoint with random weights may draw nothing at all for a single word."""
WHOLE: dict[str, Any] = {**JOINT, "tile": 512, "overlap": 64}


def ask(webui: WebUI, section: Any = None, **values: Any) -> tuple[int, Any]:
    body = {**USUAL, **values}
    if section is not None:
        body["alwayson_scripts"] = {"hires fix plus": {"args": section if isinstance(section, list) else [section]}}
    return webui.call("/sdapi/v1/txt2img", body)


def drawn(webui: WebUI, section: Any = None, **values: Any) -> list[NDArray[np.int64]]:
    status, answer = ask(webui, section, **values)
    assert status == 200, answer
    return [pixels(image) for image in answer["images"]]


def pixels(text: str) -> NDArray[np.int64]:
    return np.asarray(from_base64(text).convert("RGB"), dtype=np.int64)


def told(answer: Any) -> str:
    return str(json.loads(answer["info"])["infotexts"][0])


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("Euler", "Automatic"),
        ("Euler a", "Automatic"),
        ("DPM++ 2M", "Karras"),
        ("DPM++ SDE", "Automatic"),
        ("DDIM", "Automatic"),
        ("UniPC", "Automatic"),
    ],
)
def test_what_is_one_tile_large_is_the_hosts_own(webui: WebUI, sampler: str, scheduler: str) -> None:
    values = {"sampler_name": sampler, "scheduler": scheduler}
    assert np.abs(drawn(webui, WHOLE, **values)[0] - drawn(webui, **values)[0]).max() <= 1


def test_in_lockstep_it_is_nearer_to_the_hosts_own_than_another_seed_is(webui: WebUI) -> None:
    theirs, other = drawn(webui)[0], drawn(webui, seed=6)[0]
    ours = drawn(webui, JOINT)[0]
    assert not np.array_equal(ours, theirs), "the picture went through in one piece"
    assert np.abs(ours - theirs).mean() < 0.25 * np.abs(other - theirs).mean()


@pytest.mark.parametrize("section", [JOINT, TILES])
@pytest.mark.parametrize(
    ("target", "size"),
    [
        ({"hr_scale": 1.7}, (217, 217)),
        ({"hr_scale": 1.7, "hr_upscaler": "Latent"}, (217, 217)),
        ({"hr_resize_x": 200, "hr_resize_y": 270}, (200, 270)),
        ({"hr_resize_x": 203}, (203, 203)),
    ],
)
def test_the_size_is_exact(
    webui: WebUI, section: dict[str, Any], target: dict[str, Any], size: tuple[int, int]
) -> None:
    assert drawn(webui, section, **target)[0].shape == (size[1], size[0], 3)


def test_each_picture_of_a_batch_is_as_near_to_itself_alone_as_the_hosts_is(webui: WebUI) -> None:
    """The host's encoder draws for one picture after the other, so that its own pass differs a little, too."""

    def difference(section: Any) -> float:
        pictures = drawn(webui, section, batch_size=2, n_iter=2)[-4:]  # before them there is a grid
        assert np.abs(pictures[0] - pictures[3]).mean() > 5
        return float(np.abs(pictures[3] - drawn(webui, section, seed=8)[0]).mean())

    own = difference(None)
    for section in (JOINT, TILES):
        assert difference(section) < 1.25 * own + 1


@pytest.mark.parametrize("section", [JOINT, TILES])
def test_hires_prompts_steps_and_samplers_are_heeded(webui: WebUI, section: dict[str, Any]) -> None:
    plain = drawn(webui, section)[0]
    for change in ({"hr_prompt": OTHER}, {"hr_second_pass_steps": 6}, {"hr_sampler_name": "DDIM"}):
        assert not np.array_equal(drawn(webui, section, **change)[0], plain), change


def test_switched_off_the_picture_is_the_hosts_own(webui: WebUI) -> None:
    assert np.array_equal(drawn(webui, {"enabled": False})[0], drawn(webui)[0])


def test_after_a_run_the_host_is_as_it_was(webui: WebUI) -> None:
    before, options = drawn(webui)[0], webui.call("/sdapi/v1/options")[1]
    drawn(webui, JOINT)
    drawn(webui, TILES)
    assert np.array_equal(drawn(webui)[0], before)
    assert webui.call("/sdapi/v1/options")[1] == options


def test_a_seam_would_be_seen_in_tiles_that_start_from_other_noise(webui: WebUI) -> None:
    """Where four tiles meet, the joint result is no rougher than elsewhere."""
    picture = drawn(webui, {**JOINT, "tile": 160}, sampler_name="Euler a")[0].mean(axis=2)
    edges = np.abs(np.diff(picture, axis=1)).mean(axis=0)
    assert edges[120:136].mean() < 1.25 * np.median(edges)


def test_other_prompts_for_parts_of_the_picture(webui: WebUI) -> None:
    plain = drawn(webui, JOINT)[0]
    halves = drawn(webui, {**JOINT, "regions": f"0, 0, 40, 100: {OTHER}"})[0]
    change = np.abs(halves - plain).mean(axis=(0, 2))
    assert change[:80].mean() > 2 * change[-60:].mean()


def test_the_vae_in_fast_mode_and_a_grid_that_shifts_change_little(webui: WebUI) -> None:
    exact, other = drawn(webui, JOINT, hr_scale=2.5)[0], drawn(webui, JOINT, seed=6, hr_scale=2.5)[0]
    for change in ({"vae": "fast"}, {"shift": True}):
        made = drawn(webui, {**JOINT, **change}, hr_scale=2.5)[0]
        assert not np.array_equal(made, exact)
        assert np.abs(made - exact).mean() < 0.5 * np.abs(other - exact).mean(), change


def test_the_infotext_names_the_section_and_by_position_it_does_the_same(webui: WebUI) -> None:
    status, answer = ask(webui, JOINT)
    assert status == 200
    assert "Hires fix plus: joint, Hires fix plus tile: 128" in told(answer)
    scripts = webui.call("/sdapi/v1/script-info")[1]
    labels = [a["label"] for s in scripts if s["name"] == "hires fix plus" for a in s["args"]]
    values = {"Hires fix plus": True, "Method": "joint", "Tile": 128, "Overlap": 32}
    assert set(values) <= set(labels)
    by_position = drawn(webui, [values.get(label) for label in labels])
    assert np.array_equal(by_position[0], pixels(answer["images"][0]))


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ({**JOINT, "tile": 32}, {}, "64"),
        ({**JOINT, "overlap": 64}, {}, "half"),
        ({**TILES}, {"hr_sampler_name": "DPM adaptive"}, "choose another sampler"),
        ({**JOINT, "scale": 2}, {}, "hires fix's own"),
        ({**JOINT, "nonsense": 2}, {}, "nonsense"),
        ({**JOINT, "prompt_source": "caption"}, {}, "method tiles"),
        ({**JOINT, "regions": "0, 0, 50: a tree"}, {}, "Line 1"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_pass(
    webui: WebUI, section: dict[str, Any], values: dict[str, Any], reason: str
) -> None:
    status, answer = ask(webui, section, **values)
    assert status == 500
    assert reason in json.dumps(answer)


@pytest.mark.parametrize("section", [JOINT, TILES])
@pytest.mark.parametrize("button", ["interrupt", "skip"])
def test_stopped_in_the_second_pass_the_first_comes_back(webui: WebUI, section: dict[str, Any], button: str) -> None:
    first = drawn(webui, enable_hr=False)[0]
    running = Asked(webui, section, hr_scale=6.0, hr_second_pass_steps=20)
    while running.is_alive():
        state = webui.call("/sdapi/v1/progress")[1]["state"]
        if state["sampling_steps"] == 20 and state["sampling_step"] >= 1:  # the first pass has four
            break
        time.sleep(0.02)
    webui.call(f"/sdapi/v1/{button}", {})
    running.join()
    status, answer = running.answer
    assert status == 200, answer
    assert "Hires fix plus partial: first pass" in told(answer)
    assert np.abs(pixels(answer["images"][0]) - first).max() <= 1
    assert np.array_equal(drawn(webui, enable_hr=False)[0], first)


def test_before_hires_fix_is_saved_once_for_each_picture(webui: WebUI) -> None:
    webui.call("/sdapi/v1/options", {"save_images_before_highres_fix": True})
    try:
        for section in (JOINT, TILES):
            before = webui.saved_images()
            drawn(webui, section, batch_size=2, save_images=True)
            new = [path for path in webui.saved_images() - before if "grid" not in path.name]
            assert len([path for path in new if "-before-highres-fix" in path.name]) == 2
            assert len(new) == 4
    finally:
        webui.call("/sdapi/v1/options", {"save_images_before_highres_fix": False})


def test_a_plot_along_our_axes(webui: WebUI) -> None:
    along = plot_arguments(webui, "Hires fix plus", ("Tile", "96, 128", []), ("Overlap", "32", []), is_img2img=False)
    status, answer = ask(webui, script_name="X/Y/Z plot", script_args=along)
    assert status == 200, answer
    cells = [pixels(image) for image in answer["images"] if from_base64(image).size == (256, 256)]
    assert len(cells) == 2
    assert not np.array_equal(*cells)
    assert np.array_equal(cells[1], drawn(webui, JOINT)[0])


class Asked(threading.Thread):
    """A request that is under way."""

    def __init__(self, webui: WebUI, section: Any, **values: Any) -> None:
        super().__init__(daemon=True)
        self._webui, self._section, self._values = webui, section, values
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        self.answer = ask(self._webui, self._section, **self._values)
