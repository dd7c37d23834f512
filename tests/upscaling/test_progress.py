"""Progress of an upscale: never back, counting passes and tiles truly, and moving within a tile; times told before."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.models.library import Models
from lib_upscale.progress import Clock, Span
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling import network_pass
from lib_upscale.upscaling.plan import plan_upscale
from lib_upscale.upscaling.run import plan_and_upscale
from tests.helpers import compact, models_in, picture, write
from tests.redrawing.test_work_progress import Recorder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    for scale in (1, 2):
        write(folder / f"x{scale}.safetensors", compact(scale))
    return models_in(folder, folder / "notes.json")


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(20, 90),
    height=st.integers(20, 90),
    scale=st.sampled_from([0.5, 1.5, 2.0, 3.0, 5.0]),
    tile=st.sampled_from([None, 40, 64]),
    before=st.booleans(),
    second=st.booleans(),
    alpha=st.booleans(),
)
def test_no_plan_makes_it_go_back(
    models: Models,
    width: int,
    height: int,
    scale: float,
    tile: int | None,
    before: bool,
    second: bool,
    alpha: bool,
) -> None:
    source = picture(width, height)
    if alpha:
        source = Picture(source.pixels, source.pixels[..., 0].copy())
    chosen = UpscaleSettings(
        model="x2",
        scale=scale,
        tile=tile,
        overlap=8,
        before=("x1",) if before else (),
        second_model="x1" if second else "",
        second_weight=0.5,
    )
    recorder = Recorder()
    plan_and_upscale(source, chosen, models, recorder)
    recorder.check()


def test_passes_and_tiles_are_counted_from_the_first_on(models: Models) -> None:
    recorder = Recorder()
    chosen = UpscaleSettings(model="x2", scale=4, tile=48, overlap=16)
    plan_and_upscale(picture(64, 40), chosen, models, recorder)
    tiles = list(dict.fromkeys(text for text in recorder.texts() if "tile" in text))
    plan = plan_upscale(Size(64, 40), chosen, models)
    counts = [network_pass.tiles or 0 for network_pass in plan.passes]
    assert len(counts) == 2
    assert min(counts) > 1
    assert tiles == [
        f"pass {number} of 2, tile {tile} of {count}"
        for number, count in enumerate(counts, 1)
        for tile in range(1, count + 1)
    ]


def test_the_bar_moves_within_a_tile_and_stays_before_its_end() -> None:
    seen: list[tuple[float, str]] = []
    with Clock(lambda fraction, text: seen.append((fraction, text))) as clock:
        part = Span(clock, 0.2, 0.8, "pass 1 of 2", seconds=1.0)
        part.begin(0.0, "tile 1 of 2", 0.5)
        time.sleep(1.2)  # twice what was foretold
        during = [fraction for fraction, _ in seen]
        part.report(0.5)
    assert during == sorted(during)
    assert len(set(during)) >= 4
    assert 0.2 <= during[0] < during[-1] < 0.5
    assert {text for _, text in seen} == {"pass 1 of 2, tile 1 of 2", "pass 1 of 2"}
    assert seen[-1][0] == pytest.approx(0.5)


def test_without_an_estimate_the_first_part_tells_how_fast_it_goes() -> None:
    seen: list[float] = []
    with Clock(lambda fraction, _: seen.append(fraction)) as clock:
        clock.begin(0.0, "tile 1 of 2", 0.5)
        time.sleep(0.6)
        assert set(seen) == {0.0}
        clock.begin(0.5, "tile 2 of 2", 1.0)
        time.sleep(0.6)
        assert 0.6 < seen[-1] < 1.0


def test_what_ran_before_tells_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the last run alone, and the first one of a program apart: it prepares kernels."""
    write(tmp_path / "net.safetensors", compact(2))
    chosen = UpscaleSettings(model="net")
    taken = iter([9.0, 1.0, 1.0, 30.0, 1.0])  # the first one, and one while the machine was busy
    now = [0.0]

    def perf_counter() -> float:
        return now[0]

    def run_tiles(*_: object) -> network_pass.TilingOutcome:
        now[0] += next(taken)
        return network_pass.TilingOutcome(80, 1)

    models = models_in(tmp_path, tmp_path / "notes.json")
    network_pass._ran_here.clear()
    assert plan_upscale(Size(80, 80), chosen, models).seconds is None
    with monkeypatch.context() as patched:
        patched.setattr(network_pass.time, "perf_counter", perf_counter)
        patched.setattr(network_pass, "run_tiles", run_tiles)
        for _ in range(5):
            plan_and_upscale(picture(80, 80), chosen, models)
    estimate = plan_upscale(Size(80, 80), chosen, models).seconds
    assert estimate is not None
    assert estimate.low == pytest.approx(1.0)
    larger = plan_upscale(Size(160, 80), chosen, models).seconds
    assert larger is not None
    assert larger.low == pytest.approx(2.0)
    # Another program on this machine begins with what is slow at first.
    network_pass._ran_here.clear()
    anew = plan_upscale(Size(80, 80), chosen, models_in(tmp_path, tmp_path / "notes.json")).seconds
    assert anew is not None
    assert anew.middle == pytest.approx(9.0)
