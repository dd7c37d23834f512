"""What redraws took here, and what is told of the next: only runs of the same kind are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_upscale.image.geometry import Size
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.redrawing import plan_redraw
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.tiled_sampling.stopwatch import Call, TimedCall
from lib_upscale.webui.upscalers import timings

PIXELS = 512 * 512


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Times of a machine on which nothing ran yet."""
    kept = MeasurementStore(tmp_path / "times.json")
    monkeypatch.setattr(timings, "_store", lambda: kept)
    monkeypatch.setattr(timings, "_seen", set())


def call(units: int = 0) -> Call:
    return Call("tiles", PIXELS, PIXELS, 20, units)


def ran(step: float, units: int = 0) -> None:
    """An image of nine tiles at so many seconds a step."""
    timings.record_calls("some", [TimedCall(call(units), 20 * step, 1.0)] * 9)


def told(units: int = 0) -> float | None:
    known = timings.estimate_calls("some", [(call(units), 9.0)])
    return None if known is None else known.middle


def test_runs_with_controlnet_and_without_are_told_apart() -> None:
    ran(0.1)
    assert told() == pytest.approx(9 * 3, rel=0.01)
    assert told(units=1) is None, "never run: it would be too short"
    for _ in range(8):
        ran(0.25, units=1)
    ran(0.4, units=2)
    assert told() == pytest.approx(9 * 3, rel=0.01), "eight runs that are slower by ControlNet change nothing"
    assert told(units=1) == pytest.approx(9 * 6, rel=0.01)
    assert told(units=2) == pytest.approx(9 * 9, rel=0.01)


def test_with_controlnet_tiles_are_painted_one_by_one() -> None:
    plan = plan_redraw(
        Size(512, 512), RedrawSettings(scale=2.0, tile=512, overlap=64), native=512, multiple=8, strength=0.3
    )
    alone, times = timings.calls_of_pass(plan.passes[0], 20, 4, units=1)
    together, fewer = timings.calls_of_pass(plan.passes[0], 20, 4)
    assert (alone.unet_pixels, times) == (PIXELS, 9.0)
    assert (together.unet_pixels, fewer) == (4 * PIXELS, 9 / 4)
