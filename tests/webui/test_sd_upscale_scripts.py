"""The other scripts of a real WebUI while a picture is redrawn: whose work is a tile's and whose the picture's.

A second extension stands in for ControlNet, a script that works on finished pictures, and the interrogators, and
writes down what each of them is given.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.conftest import given_data, real_webui
from tests.webui.models import place_models
from tests.webui.server import WebUI, as_base64, from_base64
from tests.webui.test_sd_upscale import USUAL, ask, lanczos, picture, pixels

pytestmark = pytest.mark.webui

SPY = """
import json
from pathlib import Path
import gradio as gr
from modules import paths, script_callbacks, scripts, shared

NOTES = Path(paths.data_path) / "notes.jsonl"


def note(**what):
    with NOTES.open("a") as file:
        file.write(json.dumps(what) + "\\n")
"""

CONTROL_NET = """
from PIL import Image
import base64, io


class ControlNet(scripts.Script):
    def title(self):
        return "ControlNet spy"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.JSON(visible=False)]

    def process_batch(self, p, unit, prompts=None, **_):
        if not unit or not unit["enabled"]:
            return
        given = unit.get("image") or unit.get("input_image")
        if given:
            image = Image.open(io.BytesIO(base64.b64decode(given))).convert("L")
            given = [image.width, image.height, image.getpixel((4, 4))]
        sizes = [list(image.size) for image in p.init_images]
        note(script="control", prompts=list(prompts), sizes=sizes, given=given, sampled=[p.width, p.height])
"""

FACES = """

class Faces(scripts.Script):
    def title(self):
        return "Faces"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return []

    def process(self, p):
        note(script="process", size=[p.width, p.height])

    def postprocess_image(self, p, pp):
        note(script="picture", size=list(pp.image.size))
        pp.image.paste((255, 0, 0), (0, 0, 16, 16))

    def postprocess(self, p, processed):
        note(script="end", comments=list(p.comments))


def captioned(image):
    shared.state.begin(job="interrogate")
    shared.state.end()
    note(script="caption", size=list(image.size))
    return f"a tile of {image.width}"


def started(demo, app):
    try:
        from modules import deepbooru

        shared.interrogator.interrogate = captioned
        deepbooru.model.tag = lambda image: f"tags of {image.width}"
    except (ImportError, AttributeError):  # Forge Neo and Classic have neither
        pass
    app.add_api_route("/spy/stop", shared.state.stop_generating, methods=["POST"])


script_callbacks.on_app_started(started)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI with those scripts."""
    code, python = real_webui()
    given = given_data()
    data = tmp_path_factory.mktemp("watched")
    place_models(data / "models")
    folder = data / "extensions" / "spies" / "scripts"
    folder.mkdir(parents=True)
    (folder / "controlnet.py").write_text(SPY + CONTROL_NET)
    (folder / "faces.py").write_text(SPY + FACES)
    server = WebUI(code, python, data, given)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def fresh(watched: WebUI) -> None:
    (watched.data / "notes.jsonl").write_text("")


def notes(webui: WebUI, script: str) -> list[dict[str, Any]]:
    lines = (webui.data / "notes.jsonl").read_text().splitlines()
    return [entry for line in lines if (entry := json.loads(line))["script"] == script]


def unit(**values: Any) -> dict[str, Any]:
    return {"controlnet spy": {"args": [{"enabled": True, "module": "tile_resample", "model": "m", **values}]}}


def done(webui: WebUI, **values: Any) -> Any:
    status, answer = ask(webui, **values)
    assert status == 200, answer
    return answer


def test_scripts_of_the_picture_run_once_and_those_of_the_denoising_for_every_tile(watched: WebUI) -> None:
    answer = done(watched, alwayson_scripts=unit(), batch_size=4)
    tiles = notes(watched, "control")
    assert len(tiles) == 6
    assert all(tile["sizes"] == [[128, 128]] for tile in tiles), "a unit takes one picture: tiles must come alone"
    assert all(tile["sampled"] == [128, 128] for tile in tiles)
    for script in ("process", "picture"):
        assert [entry["size"] for entry in notes(watched, script)] == [[240, 192]]
    assert len(notes(watched, "end")) == 1
    corner = pixels(answer["images"][0])[:16, :16]
    assert (corner == [255, 0, 0]).all()
    assert corner.shape == (16, 16, 3)


@pytest.mark.parametrize("name", ["image", "input_image"])
def test_a_unit_with_a_picture_gets_what_lies_under_the_tile(watched: WebUI, name: str) -> None:
    halves = Image.new("L", (60, 48), 0)
    halves.paste(255, (30, 0, 60, 48))
    done(watched, alwayson_scripts=unit(**{name: as_base64(halves)}))
    seen = [tile["given"] for tile in notes(watched, "control")]
    assert [entry[:2] for entry in seen] == [[128, 128]] * 6
    # Tiles begin at 0, 56 and 112 of 240 pixels: the last one's left border lies just left of the middle.
    assert [entry[2] for entry in seen] == [0, 0, seen[2][2]] * 2


def test_a_unit_of_a_kind_that_is_not_known_is_said_to_be_unsupported(watched: WebUI) -> None:
    status, answer = ask(watched, alwayson_scripts={"controlnet spy": {"args": [{"enabled": True, "hint": "x"}]}})
    assert status == 422, answer
    assert "not supported" in json.dumps(answer)


@pytest.mark.parametrize(("source", "prompt"), [("caption", "a tile of 128"), ("tags", "tags of 128")])
def test_each_tile_is_described_by_the_hosts_interrogator(watched: WebUI, source: str, prompt: str) -> None:
    if not (watched.code / "modules" / "interrogate.py").is_file():
        status, answer = ask(watched, prompt_source=source)
        assert status == 422, answer
        assert "interrogat" in json.dumps(answer).lower()
        pytest.skip("this WebUI has no interrogators, and that is said")
    done(watched, prompt_source=source, alwayson_scripts=unit())
    assert [tile["prompts"] for tile in notes(watched, "control")] == [[prompt]] * 6


def test_regions_and_the_tile_prompt_reach_the_tiles(watched: WebUI) -> None:
    regions = "0, 0, 30, 100: an oak"
    done(watched, prompt_source="tile", tile_prompt="fur", regions=regions, alwayson_scripts=unit())
    assert [tile["prompts"] for tile in notes(watched, "control")] == [["an oak"], ["fur"], ["fur"]] * 2


class Begun(threading.Thread):
    """Two pictures of a batch count, under way."""

    def __init__(self, webui: WebUI) -> None:
        super().__init__(daemon=True)
        self._webui, self.answer = webui, None
        self.start()

    def run(self) -> None:
        self.answer = ask(self._webui, n_iter=2, scale=4.0, steps=8, tile=256, resume=False, alwayson_scripts=unit())

    def wait_for_tiles(self, count: int) -> None:
        while len(notes(self._webui, "control")) < count:
            assert self.is_alive(), self.answer
            time.sleep(0.02)

    def result(self) -> Any:
        self.join()
        status, answer = self.answer
        assert status == 200, answer
        return answer


def test_skip_ends_one_picture_and_the_next_one_is_made_whole(watched: WebUI) -> None:
    running = Begun(watched)
    running.wait_for_tiles(2)
    watched.call("/sdapi/v1/skip", {})
    answer = running.result()
    first, second = answer["info"]["infotexts"][-2:]
    assert "SD upscale plus partial: 1 of 4 tiles" in first
    assert "partial" not in second
    assert len(notes(watched, "control")) == 2 + 4
    before = lanczos(picture(), 480, 384)
    assert np.abs(pixels(answer["images"][-1])[-60:, -60:] - before[-60:, -60:]).mean() > 5


def test_stopping_after_this_picture_finishes_it(watched: WebUI) -> None:
    running = Begun(watched)
    running.wait_for_tiles(2)
    watched.call("/spy/stop", {})
    answer = running.result()
    assert len(answer["images"]) == 1
    assert len(notes(watched, "control")) == 4
    assert "partial" not in answer["info"]["infotexts"][0]


def test_the_refiner_is_off_and_that_is_said(watched: WebUI) -> None:
    title = watched.call("/sdapi/v1/sd-models")[1][0]["title"]
    body = {
        **{key: USUAL[key] for key in ("prompt", "steps", "denoising_strength", "sampler_name", "seed")},
        "init_images": [as_base64(picture())],
        "script_name": "SD upscale plus",
        "script_args": [],
        "refiner_checkpoint": title,
        "refiner_switch_at": 0.5,
    }
    status, answer = watched.call("/sdapi/v1/img2img", body)
    assert status == 200, answer
    assert any("refiner is off" in comment for comment in notes(watched, "end")[0]["comments"])
    assert "Refiner" not in json.loads(answer["info"])["infotexts"][0]


def test_masks_and_the_grid_are_in_the_result_as_the_host_is_set(watched: WebUI) -> None:
    mask = Image.new("L", (120, 96), 0)
    mask.paste(255, (10, 10, 50, 50))
    wanted = {"return_mask": True, "return_mask_composite": True, "img2img_color_correction": True}
    answer = done(watched, mask=as_base64(mask), n_iter=2, save_images=True, override_settings=wanted)
    grid, *rest = [from_base64(image) for image in answer["images"]]
    assert grid.width > 240
    assert [image.size for image in rest] == [(240, 192)] * 6
    shown = np.asarray(rest[1].convert("L"))
    assert shown[60, 60] == 255
    assert shown[180, 200] == 0
    composite = np.asarray(rest[2].convert("RGBA"))
    assert composite[180, 200, 3] == 0
    before, result = lanczos(picture(), 240, 192), np.asarray(rest[0].convert("RGB"), dtype=np.int64)
    assert np.abs(result[130:] - before[130:]).max() <= 1, "color correction must not touch what is not masked"


def test_soft_inpainting_changes_nothing_and_that_is_said(watched: WebUI) -> None:
    mask = Image.new("L", (120, 96), 0)
    mask.paste(255, (20, 20, 90, 70))
    soft = {"soft inpainting": {"args": [True, 1.0, 0.5, 4.0, 0.0, 0.5, 2.0]}}
    answer = done(watched, mask=as_base64(mask), mask_blur=8, alwayson_scripts=soft)
    assert any("Soft inpainting has no effect" in comment for comment in notes(watched, "end")[0]["comments"])
    without = pixels(done(watched, mask=as_base64(mask), mask_blur=8)["images"][0])
    result, before = pixels(answer["images"][0]), lanczos(picture(), 240, 192)
    assert np.array_equal(result, without)
    assert np.abs(result[60:120, 60:160] - before[60:120, 60:160]).mean() > 5
    assert np.abs(result[-4:] - before[-4:]).max() <= 1
