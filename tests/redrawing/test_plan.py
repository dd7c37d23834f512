from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.plan import plan_redraw
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.skip_forecast import count_masked, likely_skipped
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.settings.regions import parse_regions
from tests.redrawing.helpers import FunctionPainter, enlarge, picture, run


def test_the_line_before_a_run_says_size_grid_and_cost() -> None:
    plan = plan_redraw(Size(1024, 1024), RedrawSettings(), native=512, multiple=8, strength=0.3)
    assert plan.area <= 1.30
    line = plan.describe(time="about 53 s")
    assert line == "2048x2048, 4x4 tiles of 576x576, 1.27 times the area of the result, about 53 s"
    line = plan.describe(skipped=4, time="about 40 s")
    assert line == (
        "2048x2048, 4x4 tiles of 576x576, about 4 of 16 skipped, 0.95 times the area of the result, about 40 s"
    )


def test_the_tiles_that_are_going_to_be_skipped_are_forecast() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((300, 500, 3), 0.5, np.float32)
    pixels[:, 300:] += 0.2 * rng.standard_normal((300, 200, 1)).astype(np.float32)
    chosen = RedrawSettings(tile=128, skip_flat=4.0)

    def enlarged(given: Pixels, size: Size) -> Pixels:
        planes = [Image.fromarray(given[:, :, c]).resize(tuple(size), Image.Resampling.LANCZOS) for c in range(3)]
        return np.dstack([np.asarray(plane) for plane in planes]).clip(0, 1)

    painter = FunctionPainter(lambda job: job.pixels)
    result = run(RedrawPicture(pixels), chosen, painter, enlarged)
    forecast = likely_skipped(pixels[:, :, 0].copy(), result.plan)
    assert 0 < forecast == result.count.skipped < result.plan.tiles


def test_sizes_are_exact_and_a_smaller_target_is_said() -> None:
    plan = plan_redraw(Size(512, 384), RedrawSettings(scale=2.5), native=512, multiple=8, strength=0.3)
    assert plan.output == Size(1280, 960)
    smaller = plan_redraw(Size(512, 384), RedrawSettings(scale=0.5), native=512, multiple=8, strength=0.3)
    assert "smaller than the image of 512x384" in smaller.describe()


def test_two_passes_share_the_factor_and_have_their_own_strength() -> None:
    chosen = RedrawSettings(scale=4.0, passes=2, strengths="0.4, 0.2")
    plan = plan_redraw(Size(512, 512), chosen, native=512, multiple=8, strength=0.3)
    assert [(p.size, p.strength) for p in plan.passes] == [(Size(1024, 1024), 0.4), (Size(2048, 2048), 0.2)]


def test_a_mask_limits_the_tiles_to_its_part() -> None:
    mask = np.zeros((1024, 1024), np.float32)
    mask[600:640, 100:200] = 1
    plan = plan_redraw(Size(1024, 1024), RedrawSettings(), native=512, multiple=8, strength=0.3, mask=mask)
    (step,) = plan.passes
    assert len(step.grid.tiles) == 1
    region = step.grid.tiles[0].region
    assert region.x <= 200 - 32 < 400 + 32 <= region.right
    assert region.y <= 1200 - 32 < 1280 + 32 <= region.bottom


@pytest.mark.parametrize(
    "values", [{"scale": 5.0}, {"scale": 9.0, "passes": 2}, {"width": 1200, "height": 700, "fit": "cover"}]
)
def test_the_tiles_that_a_mask_touches_are_counted_beforehand(values: dict[str, object]) -> None:
    mask = np.zeros((90, 140), np.float32)
    mask[15:20, 15:130] = mask[60:85, 20:25] = 1
    chosen = RedrawSettings.from_dict({"tile": 128, "overlap": 16, "mask_padding": 8, **values})
    result = run(picture(1, 140, 90, mask=mask), chosen, FunctionPainter(lambda job: job.pixels), enlarge)
    counted = count_masked(mask, result.plan)
    assert 0 < sum(counted) == result.count.painted < result.plan.tiles
    assert len(counted) == len(result.plan.passes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 2.0, "longest": 100}, "more than once"),
        ({"tile": 56}, "too small"),
        ({"tile": 128, "overlap": 64}, "half of a tile"),
        ({"passes": 2, "strengths": "0.3"}, "1 strength for 2 passes"),
        ({"strengths": "many"}, "must be numbers"),
        ({"strengths": "1.5"}, "between 0 and 1"),
        ({"strengths": "nan"}, "between 0 and 1"),
        ({"skip_flat": -1.0}, "too small"),
    ],
)
def test_settings_that_no_redraw_can_follow(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        RedrawSettings.from_dict(values)


def test_settings_survive_infotext_and_json() -> None:
    chosen = RedrawSettings(
        width=300,
        height=200,
        overlap=16,
        tile=128,
        seam_pass=True,
        strengths="0.2",
        regions="0,0,50,50: a\n50,0,100,50: b",
        flat_strength=0.1,
        resume=False,
    )
    assert RedrawSettings.from_infotext(chosen.to_infotext()) == chosen
    assert RedrawSettings.from_dict(json.loads(chosen.to_json())) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a tree", "colon"),
        ("0,0,50,100:  ", "colon"),
        ("0,0,50: a tree", "four numbers"),
        ("\n0,0,50,100: fine\n50,0,50,100: a tree", "Line 3"),
        ("0,0,150,100: a tree", "percent"),
        ("0,0,nan,100: a tree", "percent"),
    ],
)
def test_regions_that_do_not_fit_are_said_with_their_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_regions(text)
    assert message in str(caught.value)
