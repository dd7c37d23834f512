"""How much of the bar each pass of hires fix gets: what earlier ones took, else steps times pixels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.estimate import Estimate
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import costs
from lib_upscale.webui.hires_fix.costs import share_of_first_pass
from lib_upscale.webui.host import base_model
from lib_upscale.webui.upscalers import timings

TILES = RedrawSettings(tile=128, overlap=32)
JOINT = TILES.changed(method=RedrawMethod.JOINT)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in which nothing was measured yet."""
    monkeypatch.setattr(base_model, "sides_of", lambda _: base_model.Sides(512, 8))
    monkeypatch.setattr(base_model, "selected_name", lambda name=None: name or "usual")
    monkeypatch.setattr(costs, "count_evaluations", lambda _, steps: steps)
    monkeypatch.setattr(timings, "estimate_calls", lambda *_: None)


def parameters(**values: Any) -> Any:
    """A generation of 128x128 with hires fix to 320x320, which is 3x3 tiles of 128."""
    usual = {
        "width": 128,
        "height": 128,
        "batch_size": 1,
        "steps": 20,
        "hr_second_pass_steps": 0,
        "sampler_name": "Euler",
        "hr_sampler_name": None,
        "hr_upscale_to_x": 320,
        "hr_upscale_to_y": 320,
        "truncate_x": 0,
        "truncate_y": 0,
        "hr_resize_x": 0,
        "hr_resize_y": 0,
        "hr_checkpoint_info": None,
        "override_settings": {},
        "script_args_value": (),
    }
    return SimpleNamespace(**{**usual, **values})


def test_steps_and_pixels_count_where_nothing_was_measured() -> None:
    assert share_of_first_pass(parameters(), TILES) == pytest.approx(1 / 10)
    assert share_of_first_pass(parameters(batch_size=3), TILES) == pytest.approx(1 / 10)
    assert share_of_first_pass(parameters(hr_second_pass_steps=5), TILES) == pytest.approx(20 / (20 + 5 * 9))
    joint = share_of_first_pass(parameters(), JOINT)
    assert joint == pytest.approx(share_of_first_pass(parameters(batch_size=4), JOINT))
    assert 0.05 < joint < 0.2


def test_what_earlier_ones_took_counts_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call costs a second besides: a tile is not as much cheaper as it is smaller."""

    def estimate(checkpoint: str, calls: Any) -> Estimate:
        per_step = {"usual": 1e-6, "other": 4e-6}[checkpoint]
        seconds = sum(count * (1 + per_step * call.steps * call.unet_pixels) for call, count in calls)
        return Estimate(seconds, seconds)

    monkeypatch.setattr(timings, "estimate_calls", estimate)
    one = 1 + 20 * 128 * 128 * 1e-6
    assert share_of_first_pass(parameters(), TILES) == pytest.approx(one / (one + 9 * one))
    slower = 1 + 20 * 128 * 128 * 4e-6
    other = parameters(hr_checkpoint_info=SimpleNamespace(name="other"))
    assert share_of_first_pass(other, TILES) == pytest.approx(one / (one + 9 * slower))


def test_an_image_of_the_gallery_has_no_first_pass() -> None:
    assert share_of_first_pass(parameters(firstpass_image=object()), TILES) == 0


def test_either_pass_is_seen_and_what_cannot_be_planned_is_half() -> None:
    assert share_of_first_pass(parameters(steps=1, hr_second_pass_steps=500), TILES) == 0.02
    assert share_of_first_pass(parameters(steps=500, hr_second_pass_steps=1, width=512, height=512), TILES) == 0.98
    assert share_of_first_pass(parameters(), RedrawSettings(overlap=400)) == 0.5
