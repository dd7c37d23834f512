from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from lib_upscale.image.levels import to_levels
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.tiles.color_lock import match_low_frequencies
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.redrawing.tiles.lab import lab_to_rgb, rgb_to_lab
from lib_upscale.settings.redraw import ColorLock, RedrawSettings
from tests.redrawing.helpers import FunctionPainter, enlarge, run

LEVEL = 1 / 255
LOCKS = [lock for lock in ColorLock if lock is not ColorLock.OFF]


def locked(redrawn: Pixels, source: Pixels, lock: ColorLock = ColorLock.LAB) -> Pixels:
    return match_low_frequencies(redrawn, source, lock)


def plain(color: tuple[float, float, float], height: int = 40, width: int = 50) -> Pixels:
    return np.tile(np.array(color, np.float32), (height, width, 1))


def scene(height: int = 200, width: int = 230) -> Pixels:
    """Shapes of several colors with sharp contours, on a gradient."""
    y, x = np.mgrid[:height, :width]
    pixels = np.dstack([0.3 + 0.3 * x / width, 0.35 + 0.2 * y / height, 0.5 - 0.2 * x / width])
    pixels[(y - 70) ** 2 + (x - 80) ** 2 < 45**2] = (0.75, 0.5, 0.3)
    pixels[110:190, 120:200] = (0.25, 0.4, 0.7)
    return pixels.astype(np.float32)


def noise(like: Pixels, size: float) -> Pixels:
    return np.random.default_rng(4).normal(0, size, (*like.shape[:2], 1)).astype(np.float32)


def blurred(pixels: Pixels) -> Pixels:
    """The means of places of 16 pixels, by Pillow in floats."""
    planes = [Image.fromarray(np.ascontiguousarray(pixels[:, :, channel])) for channel in range(3)]
    small = (max(1, pixels.shape[1] // 16), max(1, pixels.shape[0] // 16))
    return np.dstack([np.asarray(plane.resize(small, Image.Resampling.BOX)) for plane in planes])


def delta_e(one: Pixels, other: Pixels) -> float:
    """The mean CIE76 difference, by the formulas of CIE 15 in 64 bits."""

    def lab(rgb: Pixels) -> np.ndarray:
        v = np.clip(rgb.astype(np.float64), 0, 1)
        linear = np.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)
        matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        t = linear @ np.array(matrix).T / [0.9505, 1.0, 1.089]
        f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
        return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)

    return float(np.sqrt(np.square(lab(one) - lab(other)).sum(axis=-1)).mean())


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((128, 128, 128), (53.59, 0, 0)),
    ],
)
def test_lab_has_the_published_values(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(rgb_to_lab(np.array(rgb, np.float32) / 255), lab, atol=0.02)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_colors_out_of_gamut_survive_lab(seed: int) -> None:
    colors = np.random.default_rng(seed).uniform(-0.3, 1.4, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(colors)), colors, atol=LEVEL / 128)


@pytest.mark.parametrize("bright", [0.45, 0.6, 0.8])
def test_a_changed_contrast_leaves_no_halo_beside_a_contour(bright: float) -> None:
    source, redrawn = plain((0.3, 0.3, 0.3), 160, 200), plain((0.3, 0.3, 0.3), 160, 200)
    source[:, 100:], redrawn[:, 100:] = bright, bright + 0.15
    halo = {lock: float(np.abs(locked(redrawn, source, lock) - source).max()) for lock in LOCKS}
    assert halo[ColorLock.WAVELET] > 15 * LEVEL, "the stand-in shows what the lock is for"
    assert halo[ColorLock.LAB] < 4 * LEVEL


@pytest.mark.parametrize("shift", [(0.1, 0.0, -0.08), (-0.05, 0.08, 0.0), (0.07, 0.07, 0.07)])
def test_a_global_cast_is_taken_back(shift: tuple[float, float, float]) -> None:
    source = scene()
    redrawn = source + np.array(shift, np.float32) + noise(source, 0.02)
    before, after = (delta_e(blurred(pixels), blurred(source)) for pixels in (redrawn, locked(redrawn, source)))
    assert before > 5
    assert after < 0.5


def test_hues_and_contrast_are_closer_to_the_source_than_by_a_blur() -> None:
    source = scene()
    gray = source.mean(axis=2, keepdims=True)
    redrawn = np.clip(1.25 * (gray + 1.3 * (source - gray) - 0.45) + 0.45, 0, 1)
    errors = {lock: delta_e(blurred(locked(redrawn, source, lock)), blurred(source)) for lock in LOCKS}
    assert errors[ColorLock.LAB] < 0.5 * min(errors[ColorLock.WAVELET], errors[ColorLock.GAUSSIAN])


@pytest.mark.parametrize("size", [0.02, 0.05])
def test_detail_that_the_redraw_drew_stays(size: float) -> None:
    source = scene()
    drawn = noise(source, size)
    kept = locked(source + drawn, source) - source
    share = (kept * drawn).sum() / (drawn * np.ones_like(kept) * drawn).sum()
    assert 0.93 < share < 1.03


def test_something_new_is_not_made_to_look_like_what_was_there() -> None:
    source = scene()
    redrawn = plain((0.4, 0.4, 0.4), 200, 230)
    redrawn[::24], redrawn[1::24] = 0.7, 0.7
    contrast = locked(redrawn, source).std(axis=0).mean() / redrawn.std(axis=0).mean()
    assert 0.6 < contrast < 1.6


colors = st.tuples(*[st.floats(0, 1, width=32)] * 3)


@given(colors, colors, st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_a_plain_color_becomes_that_of_the_source(
    one: tuple[float, float, float], other: tuple[float, float, float], height: int, width: int
) -> None:
    source = plain(other, height, width)
    np.testing.assert_allclose(locked(plain(one, height, width), source), source, atol=LEVEL / 4)


@pytest.mark.parametrize("lock", LOCKS)
def test_what_the_redraw_did_not_change_keeps_its_16_bits(lock: ColorLock) -> None:
    levels = np.random.default_rng(1).integers(0, 65536, (301, 47, 3)).astype(np.uint16)
    pixels = (levels / 65535).astype(np.float32)
    np.testing.assert_array_equal(to_levels(locked(pixels, pixels, lock), np.uint16), levels)


def test_a_ramp_of_16_bits_has_no_steps() -> None:
    ramp = np.repeat(np.linspace(0.2, 0.6, 2000, dtype=np.float32)[None, :, None], 3, axis=2).repeat(64, axis=0)
    result = locked(ramp + np.float32(0.05), ramp)
    steps = np.diff(to_levels(result, np.uint16)[30, :, 1].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= 40, "the ramp itself has steps of 13"


def test_gray_stays_gray() -> None:
    source = scene().mean(axis=2, keepdims=True).repeat(3, axis=2)
    redrawn = np.clip(1.2 * source - 0.05 + noise(source, 0.03), 0, 1)
    assert np.ptp(locked(redrawn, source), axis=2).max() < LEVEL / 16


def test_bands_of_rows_leave_no_trace() -> None:
    source = scene(700, 90)
    redrawn = np.clip(1.2 * source + 0.05, 0, 1)
    lower = slice(200, 700)  # other bands
    one, other = locked(redrawn, source)[lower], locked(redrawn[lower], source[lower])
    np.testing.assert_allclose(one[80:], other[80:], atol=LEVEL / 16)


@pytest.mark.parametrize("mode", ["independent", "sequential"])
def test_tiles_that_drift_apart_have_no_seams(mode: str) -> None:
    def drifting(job: TileJob) -> Pixels:
        sign = 1 if (job.region.x // 80 + job.region.y // 80) % 2 else -1
        return np.clip(job.pixels * np.float32(1 + 0.2 * sign) + np.array([0.06, 0, -0.06], np.float32) * sign, 0, 1)

    soft = [
        np.asarray(Image.fromarray(to_levels(plane)).filter(ImageFilter.GaussianBlur(3)), np.float32) / 255
        for plane in np.moveaxis(scene(), 2, 0)
    ]
    chosen = RedrawSettings.from_dict({"scale": 1.0, "tile": 96, "overlap": 16, "mode": mode})

    def change(lock: ColorLock) -> Pixels:
        subject, settings = RedrawPicture(np.dstack(soft)), chosen.changed(color_lock=lock)
        result = run(subject, settings, FunctionPainter(drifting), enlarge)
        return np.asarray(result.pixels - result.upscaled)

    assert np.abs(change(ColorLock.OFF)).mean() > 15 * LEVEL
    left = change(ColorLock.LAB)
    assert np.abs(left).mean() < LEVEL
    for axis in (0, 1):
        assert np.abs(np.diff(left, axis=axis)).max() < 4 * LEVEL, "an edge that the source has not"
