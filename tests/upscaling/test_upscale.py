"""What a person gets from `upscale`: the exact size, the model's own pixels, everything that travels along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_upscale.errors import CancelledError, SettingsError, TileTooSmallError, UnknownModelError
from lib_upscale.image.alpha import AlphaMode
from lib_upscale.image.geometry import Size
from lib_upscale.image.metadata import Metadata
from lib_upscale.image.picture import Picture
from lib_upscale.image.resampling import METHODS, resample
from lib_upscale.image.target import Fit
from lib_upscale.models.library import Models
from lib_upscale.progress import SILENT, Callback, Progress
from lib_upscale.settings.upscale import ResizeFilter, UpscaleSettings
from lib_upscale.upscaling.plan import plan_upscale
from lib_upscale.upscaling.run import plan_and_upscale
from tests.helpers import compact, models_in, picture, whole, write


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    for scale in (1, 2, 4):
        write(folder / f"x{scale}.safetensors", compact(scale))
    write(folder / "gray.safetensors", compact(2, channels=1))
    write(folder / "rgba.safetensors", compact(2, channels=4))
    return models_in(folder)


X2 = UpscaleSettings(model="x2")


def run(source: Picture, chosen: UpscaleSettings, models: Models, progress: Progress = SILENT) -> Picture:
    return plan_and_upscale(source, chosen, models, progress).picture


def test_without_a_target_the_model_decides_and_nothing_is_resampled(models: Models) -> None:
    source = picture(50, 40)
    assert np.array_equal(run(source, X2, models).pixels, whole(models, "x2", source.pixels))


@pytest.mark.parametrize("tile", [48, 64, 96])
def test_tiles_are_the_whole_image_result_within_a_level(models: Models, tile: int) -> None:
    source = picture(150, 110)
    tiled = run(source, X2.changed(tile=tile), models)
    assert np.abs(tiled.pixels.astype(int) - whole(models, "x2", source.pixels)).max() <= 1


@pytest.mark.parametrize(
    ("size", "wanted", "target"),
    [
        ((128, 72), (256, 144), {"scale": 2}),
        ((51, 38), (128, 95), {"scale": 2.5}),
        ((76, 51), (192, 108), {"width": 192, "height": 108, "fit": Fit.COVER}),
        ((76, 51), (192, 108), {"width": 192, "height": 108, "fit": Fit.PAD}),
        ((76, 51), (192, 108), {"width": 192, "height": 108, "fit": Fit.STRETCH}),
        ((40, 30), (400, 300), {"longest": 400}),
        ((40, 30), (20, 15), {"scale": 0.5}),
    ],
)
def test_the_size_is_exactly_what_was_asked_for(
    models: Models, size: tuple[int, int], wanted: tuple[int, int], target: dict[str, object]
) -> None:
    chosen = X2.changed(**target)
    assert plan_upscale(Size(*size), chosen, models).output == Size(*wanted)
    assert run(picture(*size), chosen, models).size == Size(*wanted)


def test_as_many_passes_as_the_target_needs(models: Models) -> None:
    job = plan_upscale(Size(30, 20), X2.changed(scale=7), models)
    assert [each.input_size for each in job.passes] == [Size(30, 20), Size(60, 40), Size(120, 80)]
    source = picture(30, 20)
    once = run(source, X2, models)
    twice = run(once, X2, models)
    assert np.abs(run(source, X2.changed(scale=4), models).pixels.astype(int) - twice.pixels).max() <= 2


def test_a_smaller_target_still_goes_through_the_model(models: Models) -> None:
    job = plan_upscale(Size(40, 30), X2.changed(scale=0.5), models)
    assert [each.entry.name for each in job.passes] == ["x2"]


@pytest.mark.parametrize("method", ResizeFilter)
def test_the_exact_size_is_made_by_the_chosen_filter(models: Models, method: ResizeFilter) -> None:
    source = picture(40, 30)
    result = run(source, X2.changed(scale=1.5, resize_filter=method), models)
    by_hand = resample(run(source, X2, models).pixels, Size(60, 45), method.value)
    assert np.abs(result.pixels.astype(int) - by_hand).max() <= 1
    others = [other for other in ResizeFilter if other is not method]
    for other in others:
        pixels = run(source, X2.changed(scale=1.5, resize_filter=other), models).pixels
        assert not np.array_equal(pixels, result.pixels)


def test_every_filter_can_be_chosen() -> None:
    assert [method.value for method in ResizeFilter] == list(METHODS)


def test_models_before_and_after_run_in_order(models: Models) -> None:
    chosen = X2.changed(before=("x1",), after=("x1",), scale=2)
    job = plan_upscale(Size(40, 30), chosen, models)
    assert [(each.entry.name, each.input_size) for each in job.passes] == [
        ("x1", Size(40, 30)),
        ("x2", Size(40, 30)),
        ("x1", Size(80, 60)),
    ]
    source = picture(40, 30)
    by_hand = run(run(run(source, X2.changed(model="x1"), models), X2, models), X2.changed(model="x1"), models)
    assert np.abs(run(source, chosen, models).pixels.astype(int) - by_hand.pixels).max() <= 3


def test_a_model_that_does_not_enlarge_says_that_the_rest_is_resampling(models: Models) -> None:
    line = plan_upscale(Size(40, 30), UpscaleSettings(model="x1", scale=4), models).describe()
    assert "x1 does not enlarge: the rest is resampling" in line
    assert "40x30 -> 160x120" in line
    assert "resampling" not in plan_upscale(Size(40, 30), X2.changed(scale=4), models).describe()


def test_a_second_model_is_blended_in_by_weight(models: Models) -> None:
    source = picture(40, 30)
    four = UpscaleSettings(model="x4", scale=2)
    first, second = run(source, X2, models), run(source, four, models)
    blended = run(source, X2.changed(scale=2, second_model="x4", second_weight=0.25), models)
    expected = first.pixels * 0.75 + second.pixels * 0.25
    assert np.abs(blended.pixels - expected).max() <= 1
    none = run(source, X2.changed(second_model="x4", second_weight=0.0), models)
    assert np.array_equal(none.pixels, first.pixels)


@pytest.mark.parametrize("mode", list(AlphaMode))
def test_alpha_is_made_as_asked(models: Models, mode: AlphaMode) -> None:
    result = run(picture(48, 40, alpha=True), X2.changed(alpha=mode), models)
    if mode is AlphaMode.DROP:
        assert result.alpha is None
        return
    assert result.alpha is not None
    assert result.alpha.shape == (80, 96)
    assert result.alpha[0, 0] < 40
    assert result.alpha[40, 48] > 215


def test_alpha_is_exact_far_from_its_edges(models: Models) -> None:
    alpha = np.zeros((120, 160), np.uint8)
    alpha[:, 80:] = 255
    result = run(Picture(np.full((120, 160, 3), 200, np.uint8), alpha), X2, models)
    assert result.alpha is not None
    assert not result.alpha[:, :40].any()
    assert (result.alpha[:, -40:] == 255).all()


def test_what_hides_under_transparent_pixels_does_not_show(models: Models) -> None:
    """A white disc on transparent black must not get a dark edge."""
    disc = picture(48, 40, alpha=True)
    assert disc.alpha is not None
    pixels = np.where(disc.alpha[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, axis=2)
    result = run(Picture(pixels, disc.alpha), X2, models)
    plain = run(Picture(np.full_like(pixels, 255), None), X2, models)
    assert result.alpha is not None
    seen = result.alpha > 32
    assert result.pixels[seen].min() >= int(plain.pixels.min()) - 1


def test_opaque_stays_opaque_and_costs_nothing(models: Models) -> None:
    source = picture(40, 30)
    opaque = Picture(source.pixels, np.full((30, 40), 255, np.uint8))
    assert plan_upscale(opaque.size, X2, models, picture=opaque).tiles == 1
    result = run(opaque, X2, models)
    assert result.alpha is not None
    assert result.opaque
    assert np.array_equal(result.pixels, run(source, X2, models).pixels)


def test_sixteen_bits_stay_sixteen_bits(models: Models) -> None:
    fine = picture(40, 30, bits=16)
    result = run(fine, X2.changed(scale=3), models)
    assert result.bits == 16
    assert len(np.unique(result.pixels)) > 1000
    coarse = run(fine.with_bits(8), X2.changed(scale=3), models)
    assert np.abs(result.with_bits(8).pixels.astype(int) - coarse.pixels).max() <= 2


def test_metadata_travels(models: Models) -> None:
    source = picture(24, 16).with_metadata(Metadata(text={"parameters": "a cup of coffee\nSteps: 20"}))
    assert run(source, X2.changed(scale=3), models).metadata == source.metadata


@pytest.mark.parametrize("name", ["x2", "gray", "rgba"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_any_channels_through_any_model(models: Models, name: str, channels: int, alpha: bool) -> None:
    source = picture(40, 30, channels, alpha)
    result = run(source, UpscaleSettings(model=name), models)
    assert result.pixels.shape == (60, 80, channels)
    assert (result.alpha is not None) == alpha
    # Colors are kept: what the network makes of a picture looks like the picture.
    small = result.pixels.reshape(30, 2, 40, 2, channels).mean((1, 3))
    if not alpha:
        assert np.corrcoef(small.ravel(), source.pixels.ravel())[0, 1] > 0.9


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
@settings(max_examples=15)
def test_tiny_and_odd_pictures_have_no_borders(models: Models, width: int, height: int, level: int) -> None:
    """A constant picture gives a constant up to the network's own zero padding, never black bars."""
    source = Picture(np.full((height, width, 3), level, np.uint8))
    result = run(source, X2.changed(scale=1.7), models)
    assert result.size == Size(max(1, int(width * 1.7 + 0.5)), max(1, int(height * 1.7 + 0.5)))
    assert np.abs(result.pixels.astype(int) - level).max() < 128


def test_the_smallest_tile_is_named_and_works(models: Models) -> None:
    chosen = X2.changed(tile=24, overlap=20)
    with pytest.raises(TileTooSmallError) as caught:
        run(picture(100, 80), chosen, models)
    run(picture(100, 80), chosen.changed(tile=caught.value.smallest), models)


def test_an_unknown_model_offers_the_nearest_names(models: Models) -> None:
    with pytest.raises(UnknownModelError, match=r"grey.*gray"):
        run(picture(8, 8), UpscaleSettings(model="grey"), models)


def test_a_target_beyond_all_bounds_is_refused_before_the_work(models: Models) -> None:
    with pytest.raises(SettingsError, match="pixels"):
        plan_upscale(Size(90_000, 90_000), X2.changed(scale=8), models)


def test_progress_goes_up_to_one_and_cancel_stops(models: Models) -> None:
    seen: list[float] = []
    listening = Callback(lambda fraction, _: seen.append(fraction))
    run(picture(150, 110, alpha=True), X2.changed(tile=64, scale=3), models, listening)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(set(seen)) > 8
    with pytest.raises(CancelledError):
        run(picture(150, 110), X2.changed(tile=64), models, Callback(lambda *_: None, lambda: True))


@pytest.mark.slow
def test_a_constant_and_a_real_picture_through_a_real_model(shared_models: Path, shared_images: Path) -> None:
    from lib_upscale.image.io import read_picture

    own = models_in(shared_models)
    photo = read_picture(shared_images / "coffee.png")
    part = Picture(np.ascontiguousarray(photo.pixels[100:196, 200:310]))
    name = "realesr-animevideov3-x4"
    tiled = run(part, UpscaleSettings(model=name, tile=64), own)
    assert np.abs(tiled.pixels.astype(int) - whole(own, name, part.pixels)).max() <= 1
