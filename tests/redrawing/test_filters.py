from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.tiles.filters import a_trous, gaussian, reflect_pad, resize


def spread(blurred: np.ndarray) -> float:
    """Standard deviation, in pixels, of what became of a single bright pixel."""
    line = blurred.sum(axis=1)
    position = np.arange(len(line)) - len(line) // 2
    return float(np.sqrt((line * position**2).sum() / line.sum()))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0, 12.0, 32.0])
def test_a_gaussian_has_the_width_asked_for(sigma: float) -> None:
    point = np.zeros((301, 301), np.float32)
    point[150, 150] = 1
    blurred = gaussian(point, sigma)
    assert spread(blurred) == pytest.approx(sigma, rel=0.02)
    expected = np.exp(-0.5 * ((np.arange(301) - 150) / sigma) ** 2)
    np.testing.assert_allclose(blurred[150] / blurred[150].max(), expected, atol=0.02)


@pytest.mark.parametrize("levels", [0, 1, 3, 5])
def test_an_approximation_has_the_width_it_states(levels: int) -> None:
    point = np.zeros((301, 301), np.float32)
    point[150, 150] = 1
    assert spread(a_trous(point, levels)) == pytest.approx(np.sqrt((4**levels - 1) / 3), rel=0.01)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 40), st.floats(0, 1))
def test_a_blur_keeps_a_constant_however_small_the_picture(w: int, h: int, sigma: float, value: float) -> None:
    np.testing.assert_allclose(gaussian(np.full((h, w, 3), value, np.float32), sigma), value, atol=1e-5)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 70), st.integers(0, 70))
def test_reflection_keeps_the_picture_and_invents_no_value(w: int, h: int, right: int, below: int) -> None:
    picture = np.random.default_rng(w).random((h, w, 3), dtype=np.float32)
    grown = reflect_pad(picture, Size(w + right, h + below))
    assert grown.shape == (h + below, w + right, 3)
    np.testing.assert_array_equal(grown[:h, :w], picture)
    assert set(grown[:, :, 0].ravel()) == set(picture[:, :, 0].ravel())


def test_a_mask_that_is_made_larger_stays_between_0_and_1() -> None:
    mask = (np.random.default_rng(0).random((9, 7)) > 0.5).astype(np.float32)
    larger = resize(mask, Size(50, 31))
    assert larger.shape == (31, 50)
    assert larger.min() >= 0
    assert larger.max() <= 1
