from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_upscale.errors import CancelledError, SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.target import Fit
from lib_upscale.progress import Callback
from lib_upscale.redrawing.journal import Journal, job_key
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.plan import plan_redraw
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.run import redraw
from lib_upscale.redrawing.tiles.filters import Pixels, gaussian, resize
from lib_upscale.settings.redraw import Blend, ColorLock, RedrawSettings, TileContext, TileOrder
from tests.redrawing.helpers import FIELD, Counting, FunctionPainter, Killed, enlarge, noisy, picture, run, unchanged

LEVEL = 1 / 255


any_settings = st.builds(
    RedrawSettings,
    scale=st.sampled_from([1.0, 1.5, 2.0]),
    tile=st.sampled_from([64, 72, 96]),
    overlap=st.sampled_from([None, 0, 8, 24]),
    order=st.sampled_from(list(TileOrder)),
    mode=st.sampled_from(list(TileContext)),
    blend=st.sampled_from(list(Blend)),
    color_lock=st.sampled_from(list(ColorLock)),
    batch_size=st.integers(1, 4),
    passes=st.integers(1, 2),
    seam_pass=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(any_settings, st.integers(1, 110), st.integers(1, 110))
def test_a_painter_that_changes_nothing_gives_back_the_upscaled_picture(
    chosen: RedrawSettings, width: int, height: int
) -> None:
    result = run(picture(1, width, height), chosen.changed(passes=1), FunctionPainter(unchanged), enlarge)
    assert result.pixels.shape == (result.plan.output.height, result.plan.output.width, 3)
    np.testing.assert_allclose(result.pixels, result.upscaled, atol=LEVEL / 2)
    assert not result.partial


@settings(max_examples=40, deadline=None)
@given(any_settings, st.integers(1, 110), st.integers(1, 110), st.floats(-0.2, 0.2))
def test_a_painter_that_adds_a_constant_gives_a_constant(
    chosen: RedrawSettings, width: int, height: int, constant: float
) -> None:
    plain = RedrawPicture(np.full((height, width, 3), 0.5, np.float32))
    chosen = chosen.changed(color_lock=ColorLock.OFF, mode=TileContext.INDEPENDENT, passes=1)
    result = run(plain, chosen, FunctionPainter(lambda job: job.pixels + np.float32(constant)), enlarge)
    np.testing.assert_allclose(result.pixels, 0.5 + constant, atol=LEVEL / 4)


@given(st.floats(0.0, 0.3))
@settings(max_examples=10, deadline=None)
def test_the_color_lock_takes_back_a_drift_of_color(constant: float) -> None:
    for lock in (ColorLock.WAVELET, ColorLock.GAUSSIAN):
        chosen = RedrawSettings(tile=64, color_lock=lock)
        result = run(picture(2, 50, 40), chosen, FunctionPainter(lambda j: j.pixels + np.float32(constant)), enlarge)
        np.testing.assert_allclose(result.pixels, result.upscaled, atol=LEVEL)


@settings(max_examples=15, deadline=None)
@given(any_settings, st.sampled_from(list(TileOrder)), st.integers(1, 4))
def test_neither_order_nor_batch_changes_independent_tiles(
    chosen: RedrawSettings, order: TileOrder, batch: int
) -> None:
    chosen = chosen.changed(mode=TileContext.INDEPENDENT)
    subject, painter = picture(3, 90, 70), FunctionPainter(noisy)
    one = run(subject, chosen, painter, enlarge)
    other = run(subject, chosen.changed(order=order, batch_size=batch), painter, enlarge)
    np.testing.assert_array_equal(one.pixels, other.pixels)


@settings(max_examples=15, deadline=None)
@given(any_settings, st.integers(1, 4))
def test_the_batch_changes_no_sequential_tile_either(chosen: RedrawSettings, batch: int) -> None:
    chosen = chosen.changed(mode=TileContext.SEQUENTIAL)
    subject, painter = picture(3, 90, 70), FunctionPainter(noisy)
    one = run(subject, chosen, painter, enlarge)
    other = run(subject, chosen.changed(batch_size=batch), painter, enlarge)
    np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_sequential_tile_sees_its_redrawn_neighbor_and_an_independent_one_does_not() -> None:
    def seen(mode: TileContext) -> list[float]:
        shown = []

        def white(job: TileJob) -> Pixels:
            shown.append(float(job.pixels.max()))
            return np.ones_like(job.pixels)

        black = RedrawPicture(np.zeros((64, 120, 3), np.float32))
        chosen = RedrawSettings(scale=1.0, tile=64, mode=mode, color_lock=ColorLock.OFF)
        run(black, chosen, FunctionPainter(white), enlarge)
        return shown

    assert seen(TileContext.INDEPENDENT) == [0, 0]
    assert seen(TileContext.SEQUENTIAL) == [0, 1]


@settings(max_examples=15, deadline=None)
@given(any_settings, st.integers(0, 12), st.data())
def test_a_killed_job_goes_on_where_it_stopped(
    tmp_path_factory: pytest.TempPathFactory, chosen: RedrawSettings, after: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("journal")
    subject = picture(4, 90, 70)
    key = job_key(subject.pixels, None, chosen, 7, {"checkpoint": "abc"})
    whole = run(subject, chosen, Counting(), enlarge)
    first = Counting(die_after=after)
    try:
        run(subject, chosen, first, enlarge, journal=Journal(root, key))
    except Killed:
        assert len(Journal(root, key)) == len(first.names)
        kept = sorted((root / key.folder).glob("*.tile"))
        damaged = data.draw(st.sets(st.sampled_from(kept), max_size=2)) if kept else set()
        for path in damaged:  # as a file system may leave a file after a power cut
            path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, 3000))])
        second = Counting()
        result = run(subject, chosen.changed(batch_size=3), second, enlarge, journal=Journal(root, key))
        assert set(second.names) & set(first.names) == {path.stem for path in damaged}
        np.testing.assert_array_equal(result.pixels, whole.pixels)
    assert not (root / key.folder).exists()


@pytest.mark.parametrize("mode", list(TileContext))
def test_what_is_finished_stays_when_stopped(tmp_path: Path, mode: TileContext) -> None:
    subject = RedrawPicture(np.zeros((128, 128, 3), np.float32))
    chosen = RedrawSettings(scale=1.0, tile=64, overlap=0, color_lock=ColorLock.OFF, mode=mode)
    done: list[Region] = []
    painter = FunctionPainter(lambda job: np.ones_like(job.pixels))
    progress = Callback(lambda fraction, text: None, lambda: len(done) == 3)
    journal = Journal(tmp_path, job_key(subject.pixels, None, chosen, 1, {}))
    result = run(
        subject,
        chosen,
        painter,
        enlarge,
        progress,
        journal,
        on_tile_done=lambda region, pixels, size: done.append(region),
    )
    assert result.partial
    assert (result.count.painted, len(journal)) == (3, 3)
    assert result.pixels[:64].min() == 1
    assert result.pixels[64:, :64].min() == 1
    assert result.pixels[64:, 64:].max() == 0


def test_after_a_stop_the_later_passes_only_enlarge() -> None:
    chosen = RedrawSettings(scale=4.0, tile=64, passes=2, color_lock=ColorLock.OFF)
    painter = Counting()
    progress = Callback(lambda fraction, text: None, lambda: len(painter.names) > 0)
    result = run(picture(1, 60, 60), chosen, painter, enlarge, progress)
    assert result.partial
    assert result.pixels.shape == (240, 240, 3)
    assert painter.names == ["0-0"]


def test_a_stop_that_the_upscaler_hears_keeps_the_tiles_of_earlier_passes() -> None:
    chosen = RedrawSettings(scale=4.0, tile=64, passes=2, color_lock=ColorLock.OFF)
    painter = FunctionPainter(lambda job: np.ones_like(job.pixels))
    done: list[Region] = []
    stop = Callback(lambda fraction, text: None, lambda: len(done) > 0)

    def hearing(pixels: Pixels, size: Size) -> Pixels:
        if stop.cancelled():
            raise CancelledError()
        return enlarge(pixels, size)

    subject = RedrawPicture(np.zeros((60, 60, 3), np.float32))
    result = run(subject, chosen, painter, hearing, stop, on_tile_done=lambda region, pixels, size: done.append(region))
    assert (result.partial, result.resampled) == (True, True)
    assert result.pixels.shape == (240, 240, 3)
    assert result.pixels[:64, :64].min() > 1 - LEVEL, "the tile that was done is lost"
    assert result.upscaled.max() == 0


def test_a_stop_before_the_first_tile_is_told() -> None:
    def stopped(pixels: Pixels, size: Size) -> Pixels:
        raise CancelledError()

    with pytest.raises(CancelledError):
        run(picture(1, 60, 60), RedrawSettings(scale=2.0, tile=64), Counting(), stopped)


@settings(max_examples=25, deadline=None)
@given(any_settings, st.integers(0, 99), st.booleans())
def test_nothing_outside_a_mask_is_touched(chosen: RedrawSettings, seed: int, soft: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((70, 110), np.float32)
    y, x = rng.integers(0, 70), rng.integers(0, 110)
    mask[y : y + rng.integers(1, 40), x : x + rng.integers(1, 60)] = 0.5 if soft else 1.0
    subject = picture(seed, 110, 70, mask=mask)
    seen = []

    def white(job: TileJob) -> Pixels:
        assert job.mask is not None
        assert job.mask.any()
        seen.append(job.region)
        return np.ones_like(job.pixels)

    chosen = chosen.changed(passes=1, color_lock=ColorLock.OFF)
    result = run(subject, chosen, FunctionPainter(white), enlarge)
    covered = resize(mask, result.plan.output)
    np.testing.assert_array_equal(result.pixels[covered == 0], result.upscaled[covered == 0])
    if covered.max() == 1:
        assert result.pixels[covered == 1].min() > 1 - LEVEL
    assert seen


def test_an_empty_mask_is_said_before_anything_is_painted() -> None:
    with pytest.raises(SettingsError, match="mask is empty"):
        run(picture(1, 64, 64, mask=np.zeros((64, 64), np.float32)), RedrawSettings(), Counting(die_after=0), enlarge)


def test_flat_tiles_are_skipped_and_the_rest_follows_its_detail() -> None:
    pixels = np.full((64, 192, 3), 0.5, np.float32)
    rng = np.random.default_rng(0)
    pixels[:, 64:128] += 0.02 * rng.standard_normal((64, 64, 1)).astype(np.float32)
    pixels[:, 128:] += 0.2 * rng.standard_normal((64, 64, 1)).astype(np.float32)
    strengths = {}

    def note(job: TileJob) -> Pixels:
        strengths[job.name] = job.strength
        return job.pixels

    chosen = RedrawSettings(scale=1.0, tile=64, overlap=0, skip_flat=2.0, flat_strength=0.1)
    result = run(RedrawPicture(pixels), chosen, FunctionPainter(note), enlarge)
    assert set(strengths) == {"0-1", "0-2"}
    assert 0.1 < strengths["0-1"] < 0.3
    assert strengths["0-2"] == pytest.approx(0.4)
    assert result.count.skipped == 1
    assert "1 of 3 tiles skipped" in result.saved()


def test_one_small_thing_keeps_a_flat_tile_from_being_skipped() -> None:
    sky = np.full((512, 512, 3), 0.6, np.float32)
    sky[200:260, 200:260:2] = 0.1
    painter = Counting()
    run(RedrawPicture(sky), RedrawSettings(scale=1.0, skip_flat=6.0), painter, enlarge)
    assert painter.names == ["0-0"]


def test_one_chosen_tile_and_its_progress() -> None:
    painter, told = Counting(), []
    progress = Callback(lambda fraction, text: told.append((fraction, text)))
    chosen = RedrawSettings(scale=1.0, tile=64)
    result = run(picture(1, 170, 170), chosen, painter, enlarge, progress, only=lambda grid: [grid.middle])
    assert painter.names == ["0-4"]
    assert not result.partial
    full = Counting()
    run(picture(1, 170, 170), chosen, full, enlarge, progress)
    assert told[-1] == (1.0, "tile 9 of 9")


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("passes", [1, 3])
def test_the_size_is_exact_in_every_shape(fit: Fit, passes: int) -> None:
    chosen = RedrawSettings(width=157, height=101, fit=fit, tile=64, passes=passes)
    result = run(picture(1, 64, 64), chosen, FunctionPainter(unchanged), enlarge)
    assert result.pixels.shape == ((101, 101, 3) if fit is Fit.CONTAIN else (101, 157, 3))
    assert result.upscaled.shape == result.pixels.shape


def test_the_seam_pass_mends_a_border_that_stands_out_and_leaves_the_others() -> None:
    constraint = np.random.default_rng(1).normal(0.5, 0.05, (256, 256, 1)).astype(np.float32).repeat(3, axis=2)

    def painted(job: TileJob) -> Pixels:
        """A third tile that came out much darker, but not so where a tile of the seam pass lies."""
        return job.pixels - np.float32(0.4 if job.name == "0-2" else 0.0)

    chosen = RedrawSettings(scale=1.0, tile=136, overlap=16, seam_pass=True, color_lock=ColorLock.OFF, blend=Blend.CUT)
    subject = RedrawPicture(constraint)
    seen = run(subject, chosen.changed(seam_pass=False), FunctionPainter(painted), enlarge)
    mended = run(subject, chosen, FunctionPainter(painted), enlarge)
    # Tile 2 lies at the lower left: its borders are to the tile above it and to that on its right.
    assert mended.count.borders == 2
    np.testing.assert_array_equal(mended.pixels[:60, 140:], seen.pixels[:60, 140:])


def test_a_seam_pass_finds_nothing_where_tiles_agree() -> None:
    def agreeing(job: TileJob) -> Pixels:
        window = np.kron(FIELD[job.noise.rows, job.noise.columns], np.ones((8, 8, 1), np.float32))
        return np.clip(gaussian(job.pixels, 1.0) + 0.1 * gaussian(window, 4.0), 0, 1).astype(np.float32)

    chosen = RedrawSettings(scale=1.0, tile=128, seam_pass=True)
    result = run(picture(1, 350, 350), chosen, FunctionPainter(agreeing), enlarge)
    assert (result.count.painted, result.count.borders) == (9, 0)


def test_a_plan_is_followed_as_it_is_and_the_result_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = RedrawSettings(scale=2.0, overlap=8, regions="0,0,50,100: an oak")
    subject, painter = picture(1, 90, 70), Counting()
    plan = plan_redraw(subject.size, chosen.changed(tile=64), native=512, multiple=8, strength=0.25)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("planned again")

    monkeypatch.setattr("lib_upscale.redrawing.run.plan_redraw", never)
    monkeypatch.setattr(FunctionPainter, "native", property(never))
    result = redraw(subject, plan, painter, enlarge)
    assert result.plan is plan
    assert len(painter.names) == plan.tiles == len(plan.passes[0].grid.tiles) > 1
    with pytest.raises(ValueError, match="90x70"):
        redraw(picture(1, 90, 71), plan, painter, enlarge)


def test_regions_that_cannot_be_read_are_said_while_planning() -> None:
    with pytest.raises(SettingsError, match="Line 1"):
        plan_redraw(Size(64, 64), RedrawSettings(regions="an oak"), native=512, multiple=8, strength=0.4)
