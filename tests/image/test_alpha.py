"""What lies under transparent pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_upscale.image.alpha import clean_alpha, drop_alpha, flatten_hidden_color
from lib_upscale.image.picture import Picture
from tests.image.strategies import pictures


@given(pictures(alpha=st.just(True)), st.integers(0, 2**32 - 1))
def test_visible_pixels_stay_and_hidden_ones_lie_between_them(picture, seed):
    hidden = np.random.default_rng(seed).random(picture.alpha.shape) < 0.7
    alpha = np.where(hidden, 0, np.maximum(picture.alpha, 1)).astype(picture.alpha.dtype)
    filled = flatten_hidden_color(picture.pixels, alpha)
    visible = alpha > 0
    assert (filled[visible] == picture.pixels[visible]).all()
    if visible.any():
        low, high = picture.pixels[visible].min(axis=0), picture.pixels[visible].max(axis=0)
        assert (filled >= low).all()
        assert (filled <= high).all()
    else:
        assert (filled == picture.pixels).all()


def test_each_gap_takes_the_color_next_to_it():
    pixels = np.zeros((64, 96, 3), np.uint8)
    alpha = np.zeros((64, 96), np.uint8)
    pixels[:, :20], pixels[:, 76:] = (250, 10, 10), (10, 10, 250)
    alpha[:, :20] = alpha[:, 76:] = 255
    filled = flatten_hidden_color(pixels, alpha).astype(int)
    assert np.abs(filled[:, 20:24] - (250, 10, 10)).max() < 40
    assert np.abs(filled[:, 72:76] - (10, 10, 250)).max() < 40
    assert (np.diff(filled[..., 0], axis=1) <= 1).all()  # from red to blue without a bump


def test_the_picture_that_was_given_is_not_written_to():
    pixels, alpha = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    alpha[4, 4], pixels[4, 4] = 255, 200
    assert (flatten_hidden_color(pixels, alpha) == 200).all()
    assert pixels.sum() == 600


def test_dropping_alpha_lays_it_on_a_color():
    picture = Picture(np.full((1, 3, 3), 100, np.uint8), np.array([[0, 51, 255]], np.uint8))
    on_white = drop_alpha(picture)
    assert on_white.alpha is None
    assert on_white.pixels[0, :, 0].tolist() == [255, 224, 100]
    assert drop_alpha(picture, (255, 0, 0)).pixels[0, 0].tolist() == [255, 0, 0]
    gray = Picture(np.full((1, 1, 1), 9, np.uint16), np.zeros((1, 1), np.uint16))
    assert drop_alpha(gray).pixels.tolist() == [[[65535]]]
    assert drop_alpha(gray, (255, 0, 0)).pixels.tolist() == [[[65535, 0, 0]]]


@given(pictures(alpha=st.just(False)))
def test_dropping_an_opaque_alpha_changes_no_pixel(picture):
    opaque = Picture(picture.pixels, np.full(picture.pixels.shape[:2], picture.levels, picture.pixels.dtype))
    assert (drop_alpha(opaque).pixels == picture.pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(120, 120), (90, 75), (30, 33)])
def test_alpha_is_exact_where_the_network_sees_nothing_else(dtype, size):
    top = np.iinfo(dtype).max
    y, x = np.mgrid[:60, :60]
    source = (((y - 30) ** 2 + (x - 30) ** 2 < 20**2) * top).astype(dtype)
    source[0, 0] = 7
    noisy = np.where(np.asarray(Image.fromarray(source > 0).resize(size[::-1])), top - 1, 6).astype(dtype)
    result = clean_alpha(noisy, source, 5)
    middle = result[size[0] // 2, size[1] // 2]
    assert (middle, result[-1, -1], result[size[0] // 2, 0]) == (top, 0, 0)
    assert result[0, 0] == noisy[0, 0], "near the faint pixel nothing is known"
    edge = round(size[1] * 11 / 60)
    assert result[size[0] // 2, edge] == noisy[size[0] // 2, edge], "the edge is the network's"


def test_alpha_of_one_level_becomes_that_level():
    assert (clean_alpha(np.full((8, 8), 254, np.uint8), np.full((4, 4), 255, np.uint8), 100) == 255).all()
