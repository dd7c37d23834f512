"""What else reaches the base model of a real WebUI for each tile: SDXL's sizes, networks, embeddings, mask channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.recorded import Array, Recorder, recording_webui
from tests.webui.server import as_base64
from tests.webui.test_sd_upscale import picture

pytestmark = pytest.mark.webui

METHODS = ("tiles", "joint")
GRID = [(x, y) for y in (0, 64) for x in (0, 56, 112)]
"""Where tiles of 128 lie in 240x192, at an overlap of 32."""
POOLED = 1280


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with recording_webui(tmp_path_factory.mktemp("conditioned")) as found:
        yield found


@pytest.fixture(autouse=True)
def usual_checkpoint(recorder: Recorder) -> None:
    recorder.checkpoint = "tiny"


def embedded(*numbers: int) -> Array:
    """Numbers as SDXL is told them: 256 cosines and sines each."""
    angles = np.array(numbers)[:, None] * np.exp(-np.log(10000) * np.arange(128) / 128)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).flatten()


@pytest.mark.parametrize("method", METHODS)
def test_sdxl_is_told_of_each_tile_which_part_of_the_image_it_is(recorder: Recorder, method: str) -> None:
    recorder.checkpoint = "tiny-xl"
    recorder.redraw(picture(), method=method)
    told = np.concatenate([call["y"][:, POOLED:] for call in recorder.take("base")])
    expected = {place: embedded(192, 240, place[1], place[0], 128, 128) for place in GRID}
    found = [[place for place, numbers in expected.items() if np.abs(row - numbers).max() < 0.01] for row in told]
    assert all(len(places) == 1 for places in found)
    assert {places[0] for places in found} == set(GRID)


@pytest.mark.parametrize("method", METHODS)
def test_a_lora_is_on_in_every_tile(recorder: Recorder, method: str) -> None:
    plain = recorder.redraw(picture(), method=method)[0]
    changed = recorder.redraw(picture(), method=method, prompt="a photo <lora:tiny-lora:1>")[0]
    assert {tuple(call["networks"]) for call in recorder.take("base")} == {("tiny-lora",)}
    assert np.abs(changed - plain).mean() > 2


@pytest.mark.parametrize("method", METHODS)
def test_each_pass_of_hires_fix_has_its_own_lora(recorder: Recorder, method: str) -> None:
    prompts = {"prompt": "a photo <lora:tiny-lora:1>", "hr_prompt": "a photo <lora:tiny-lora-unet:1>"}
    recorder.hires(section={"method": method}, **prompts)
    calls = recorder.take("base")
    assert {tuple(call["networks"]) for call in calls[:2]} == {("tiny-lora",)}
    assert {tuple(call["networks"]) for call in calls[2:]} == {("tiny-lora-unet",)}


@pytest.mark.parametrize("method", METHODS)
def test_an_embedding_is_in_the_prompt_of_every_tile(recorder: Recorder, method: str) -> None:
    prompt = "a photo of tinyword"
    recorder.img2img(picture(128, 128), prompt=prompt)
    whole = recorder.take("base")[0]["context"]
    recorder.redraw(picture(), prompt="a photo of something", method=method)
    other = recorder.take("base")[0]["context"]
    recorder.redraw(picture(), prompt=prompt, method=method)
    contexts = [call["context"] for call in recorder.take("base")]
    assert all(np.allclose(context, whole, atol=1e-4) for context in contexts)
    assert not np.allclose(other, whole, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_hypertile_knows_the_shape_of_a_tile(recorder: Recorder, method: str) -> None:
    recorder.checkpoint = "narrow"
    settings = {"hypertile_enable_unet": True}
    try:
        recorder.img2img(picture(240, 192), override_settings=settings)
    except AssertionError as error:  # there is no such setting
        if "hypertile_enable_unet" not in str(error):
            raise
        pytest.skip("this WebUI has no Hypertile of its own")
    if (whole := {tuple(call["aspects"]) for call in recorder.take("base")}) == {()}:
        pytest.skip("this WebUI has no Hypertile of its own")
    assert whole == {(1.25,)}
    recorder.redraw(picture(), method=method, override_settings=settings)
    assert {tuple(call["aspects"]) for call in recorder.take("base")} == {(1.0,)}


@pytest.mark.parametrize("method", METHODS)
def test_a_model_for_inpainting_sees_the_mask_of_its_tile(recorder: Recorder, method: str) -> None:
    recorder.checkpoint = "tiny-inpainting"
    mask = Image.new("L", (120, 96), 0)
    mask.paste(255, (16, 16, 64, 64))
    enlarged = mask.resize((240, 192), Image.Resampling.NEAREST)
    recorder.img2img(
        picture(240, 192), mask=as_base64(enlarged), mask_blur=0, inpainting_fill=1, inpaint_full_res=False
    )
    whole = recorder.take("base")[0]["x"][0, 4]
    assert set(np.unique(whole)) == {0, 1}
    recorder.redraw(picture(), mask=as_base64(mask), mask_blur=0, method=method, mask_padding=16)
    tiles = [call["x"][0, 4] for call in recorder.take("base")]
    assert all(tile.shape == (16, 16) for tile in tiles)
    parts = [whole[y : y + 16, x : x + 16] for y in range(9) for x in range(15)]
    assert all(any(np.array_equal(tile, part) for part in parts) for tile in tiles)
    assert any(0 < tile.mean() < 1 for tile in tiles)


@pytest.mark.parametrize("checkpoint", ["tiny-inpainting", "tiny-vpred", "tiny-xl", "narrow"])
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE"])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_one_tile_large_is_the_hosts_own(
    recorder: Recorder, checkpoint: str, sampler: str, method: str
) -> None:
    """Models for inpainting encode a second image, whose noise is the encoder's next."""
    recorder.checkpoint = checkpoint
    values: dict[str, Any] = {"sampler_name": sampler, "steps": 4}
    lock = {"color_lock": "off"} if method == "tiles" else {}  # the host has none
    theirs = recorder.hires(**values)[0]
    ours = recorder.hires(section={"method": method, "tile": 512, "overlap": 64, **lock}, **values)[0]
    assert np.abs(ours - theirs).max() <= 1
