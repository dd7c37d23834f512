"""The real ControlNet in a real WebUI: what leads each tile is compared with what leads the host's own whole image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.recorded import Array, Recorder, place_of, recording_webui
from tests.webui.server import as_base64
from tests.webui.test_sd_upscale import lanczos, picture

pytestmark = pytest.mark.webui

RESIZE_MODES = ("Just Resize", "Crop and Resize", "Resize and Fill")
GRID = [(x, y) for y in (0, 64) for x in (0, 56, 112)]
"""Where tiles of 128 lie in 240x192, at an overlap of 32."""
STEPS = 2
METHODS = ("tiles", "joint")
PROMPT = "a photo of bricks"


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with recording_webui(tmp_path_factory.mktemp("controlled")) as found:
        yield found


@pytest.fixture(autouse=True)
def usual_checkpoint(recorder: Recorder) -> None:
    recorder.checkpoint = "narrow"


def wide() -> Image.Image:
    """An image of another shape than any canvas here, with edges."""
    image = picture(150, 50)
    image.paste((255, 255, 255), (20, 10, 60, 30))
    return image


def check_parts(hints: list[Array], whole: Array, corners: set[tuple[int, int]], method: str) -> None:
    """Assert that tiles were led by their parts of the whole, those at the corners among them.

    The Forge family asks a ControlNet once for a whole latent, so that in joint what it gives is cut instead.
    """
    assert hints
    if method == "joint" and hints[0].shape == whole.shape:
        assert all(np.array_equal(hint, whole) for hint in hints)
        return
    places = {place_of(hint, whole) for hint in hints}
    assert None not in places
    assert corners <= places


@pytest.mark.parametrize("module", [None, "canny"])
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_tile_is_led_by_its_part_of_what_leads_the_whole_image(
    recorder: Recorder, mode: str, module: str | None
) -> None:
    unit = recorder.unit(image=wide(), resize_mode=mode, **({"module": module} if module else {}))
    recorder.img2img(picture(240, 192), unit)
    (whole,) = recorder.hints()
    recorder.redraw(picture(), unit)
    hints = [call["hint"][0] for call in recorder.take("control")][::STEPS]
    assert len(hints) == len(GRID)
    for hint, (x, y) in zip(hints, GRID, strict=True):
        assert np.array_equal(hint, whole[:, y : y + 128, x : x + 128]), (x, y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_in_hires_fix_too(recorder: Recorder, mode: str, method: str) -> None:
    unit = recorder.unit(image=wide(), resize_mode=mode)
    recorder.hires(unit)
    first, second = recorder.hints()
    recorder.hires(unit, section={"method": method})
    hints = recorder.hints()
    assert np.array_equal(hints[0], first)
    check_parts(hints[1:], second, {(0, 0), (128, 0), (0, 128), (128, 128)}, method)


def test_tiles_that_are_denoised_together_are_led_alike(recorder: Recorder) -> None:
    unit = recorder.unit(image=wide(), resize_mode="Crop and Resize")
    recorder.img2img(picture(240, 192), unit)
    (whole,) = recorder.hints()
    recorder.redraw(picture(), unit, method="joint")
    check_parts(recorder.hints(), whole, {(0, 0), (112, 0), (0, 64), (112, 64)}, "joint")


@pytest.mark.parametrize("method", METHODS)
def test_sides_that_are_no_multiple_of_8(recorder: Recorder, method: str) -> None:
    """The host leaves the last pixels out: there the hint goes on as it ends."""
    unit = recorder.unit(image=wide(), resize_mode="Just Resize")
    recorder.hires(unit, hr_scale=1.71)
    whole = recorder.hints()[-1]
    assert whole.shape == (3, 216, 216)
    made, *_ = recorder.hires(unit, section={"method": method}, hr_scale=1.71)
    assert made.shape == (218, 218, 3)
    assert "partial" not in json.loads(recorder.answer["info"])["infotexts"][0]
    if method == "joint" and recorder.has_builtin_controlnet:
        return  # not the hint is cut, but what the ControlNet gives
    padded = np.pad(whole, ((0, 0), (0, 8), (0, 8)), mode="edge")
    assert None not in {place_of(hint, padded) for hint in recorder.hints()[1:]}


def test_without_an_image_a_unit_is_led_by_the_tile(recorder: Recorder) -> None:
    recorder.redraw(picture(), recorder.unit())
    before = np.moveaxis(lanczos(picture(), 240, 192), 2, 0) / 255
    hints = [call["hint"][0] for call in recorder.take("control")][::STEPS]
    for hint, (x, y) in zip(hints, GRID, strict=True):
        assert np.abs(hint - before[:, y : y + 128, x : x + 128]).max() < 1.5 / 255


def test_a_reference_is_seen_whole_by_every_tile(recorder: Recorder) -> None:
    unit = recorder.unit(module="reference_only", model="None", image=wide())
    recorder.img2img(picture(128, 128), unit)
    if recorder.has_builtin_controlnet:
        pytest.skip("what this WebUI's ControlNet encodes of a reference is not recorded")
    (whole,) = recorder.hints("encoded")
    recorder.redraw(picture(), unit)
    (tile,) = recorder.hints("encoded")
    assert np.array_equal(tile, whole)
    recorder.redraw(picture(), unit, method="joint")
    (together,) = recorder.hints("encoded")
    assert together.shape == whole.shape
    assert np.abs(together.mean(axis=(1, 2)) - whole.mean(axis=(1, 2))).max() < 0.1


def test_a_shuffled_image_is_the_same_in_every_tile(recorder: Recorder) -> None:
    recorder.redraw(picture(), recorder.unit(module="shuffle", image=wide()))
    assert len(recorder.hints()) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_t2i_adapter_is_asked_for_every_tile(recorder: Recorder, method: str) -> None:
    unit = recorder.unit(model="t2iadapter_narrow", image=wide())
    recorder.img2img(picture(240, 192), unit)
    (whole,) = recorder.hints("adapter")
    recorder.redraw(picture(), unit, method=method)
    check_parts(recorder.hints("adapter"), whole, {(0, 0), (112, 0), (0, 64), (112, 64)}, method)


@pytest.mark.parametrize("module", ["tile_colorfix", "tile_colorfix+sharp", "inpaint_only"])
def test_what_a_unit_keeps_as_a_latent_is_that_of_the_tile(recorder: Recorder, module: str) -> None:
    """These mix the latent of the hint into what the model gives."""
    if recorder.has_builtin_controlnet:
        pytest.skip("what this WebUI's ControlNet encodes of a hint is not recorded")
    mask = Image.new("L", (150, 50), 0)
    mask.paste(255, (20, 10, 60, 30))
    unit = recorder.unit(module=module, image=wide(), **({"mask": mask} if module == "inpaint_only" else {}))
    recorder.img2img(picture(240, 192), unit)
    (whole,) = recorder.hints("encoded")
    plain = recorder.redraw(picture(), recorder.unit(image=wide()), method="joint")[0]
    ours = recorder.redraw(picture(), unit, method="joint")[0]
    check_parts(recorder.hints("encoded"), whole, {(0, 0), (112, 0), (0, 64), (112, 64)}, "tiles")
    assert not np.array_equal(ours, plain)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["control_narrow_tile", "t2iadapter_narrow"])
def test_more_important_than_the_prompt_it_works_too(recorder: Recorder, model: str, method: str) -> None:
    """The host repeats hints for the rows of its batch then."""
    unit = recorder.unit(model=model, image=wide(), control_mode="ControlNet is more important")
    plain = recorder.redraw(picture(), method=method)[0]
    assert not np.array_equal(recorder.redraw(picture(), unit, method=method)[0], plain)


def test_an_effective_region_is_cut_like_the_hint(recorder: Recorder) -> None:
    """To the right of the mask ControlNet has no effect, so that nothing else changes there."""
    if recorder.has_builtin_controlnet:
        pytest.skip("this WebUI's ControlNet has no effective region")
    mask = Image.new("RGB", (240, 192), (255, 255, 255))
    mask.paste((0, 0, 0), (88, 0, 240, 192))
    plain = recorder.redraw(picture(), method="joint", overlap=0)[0]
    unit = recorder.unit(image=wide(), effective_region_mask=mask)
    masked = recorder.redraw(picture(), unit, method="joint", overlap=0)[0]
    change = np.abs(masked - plain).mean(axis=(0, 2))
    assert change[:80].mean() > 8 * change[-64:].mean()


def test_a_region_with_a_prompt_of_its_own(recorder: Recorder) -> None:
    """ControlNet marks all rows of a batch with a token before the prompt, or none."""
    if recorder.has_builtin_controlnet:
        pytest.skip("this WebUI asks its ControlNet once for the whole latent, with the image's prompt")

    def contexts(**values: Any) -> list[Array]:
        recorder.redraw(picture(), recorder.unit(image=wide()), method="joint", **values)
        return [call["context"] for call in recorder.take("control")]

    usual, bricks = contexts()[0], contexts(prompt=PROMPT)[0]
    assert usual.shape == (2, 77, 768)
    seen = contexts(regions=f"0, 0, 40, 100: {PROMPT}")
    assert all(context.shape == usual.shape for context in seen)
    assert {np.array_equal(context, usual) for context in seen} == {True, False}
    assert all(np.array_equal(context, usual) or np.array_equal(context, bricks) for context in seen)


def test_a_unit_for_the_first_pass_stays_out_of_the_second(recorder: Recorder) -> None:
    unit = recorder.unit(image=wide(), hr_option="Low res only")
    for method in METHODS:
        recorder.hires(unit, section={"method": method})
        calls = recorder.take()
        led = [position for position, call in enumerate(calls) if call["kind"] == "control"]
        second = [position for position, call in enumerate(calls) if call["kind"] == "base"][2:]
        assert len(led) == 2, method
        assert max(led) < min(second), method


@pytest.mark.parametrize("method", METHODS)
def test_each_image_of_a_batch_count_is_led_in_both_passes(recorder: Recorder, method: str) -> None:
    """The script keeps for one run what it has made, and a tile is a run of its own."""
    unit = recorder.unit(image=wide())
    images = recorder.hires(unit, section={"method": method}, n_iter=2)
    second = [image for image in images if image.shape == (256, 256, 3)][1]  # not the grid before them
    calls = recorder.take("control")
    firsts = [call for call in calls if np.array_equal(call["hint"], calls[0]["hint"])]
    assert len(firsts) >= 2 * STEPS, "the steps of two first passes"
    alone = recorder.hires(unit, section={"method": method}, seed=6)[0]
    assert np.abs(second - alone).mean() < 2


def test_detected_maps_are_shown_as_by_the_host(recorder: Recorder) -> None:
    unit = recorder.unit(image=wide(), module="canny")
    theirs = recorder.hires(unit)
    for method in METHODS:
        ours = recorder.hires(unit, section={"method": method})
        assert [image.shape for image in ours] == [image.shape for image in theirs]
        assert all(np.array_equal(*maps) for maps in zip(ours[1:], theirs[1:], strict=True))
    assert len(recorder.redraw(picture(), unit)) == 1


def test_a_script_that_redraws_a_part_of_the_result_has_its_own_unit(recorder: Recorder) -> None:
    own = {"inner redraw": {"args": [recorder.unit(image=wide())]}}
    for units in ([], [recorder.unit()]):
        recorder.redraw(picture(), *units, scripts=own)
        shapes = [call["hint"].shape[2:] for call in recorder.take("control")]
        assert (64, 64) in shapes
        assert shapes.count((128, 128)) == STEPS * len(GRID) * len(units), "the image's own units are the tiles'"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"input_mode": "batch", "batch_images": "/nowhere"}, "tab Batch is not supported"),
        ({"image": "nonsense!"}, "can't be read"),
    ],
)
def test_what_cannot_be_cut_is_said_before_the_run(recorder: Recorder, values: Any, reason: str) -> None:
    recorder.take()
    body = {"image": as_base64(picture()), "upscaler": "Lanczos", "scale": 2.0, "tile": 128}
    status, answer = recorder.ask("/upscale-plus/v1/redraw", body, [recorder.unit(**values)])
    assert status == 422, answer
    assert reason in json.dumps(answer)
    assert recorder.take() == []
