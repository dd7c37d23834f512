"""Levels and floats: each level comes back as itself, and goes to the nearest of the other depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.levels import row_bands, to_bits, to_floats, to_levels
from tests.image.strategies import pictures


def test_every_sixteen_bit_level_goes_to_the_nearest_of_eight():
    levels = np.arange(65536, dtype=np.uint16)
    assert (to_bits(levels, 8) == np.rint(levels / 257)).all()


@given(pictures())
def test_floats_are_from_zero_to_one_and_become_the_same_levels(picture):
    floats = to_floats(picture.pixels)
    assert floats.dtype == np.float32
    assert (np.rint(floats * picture.levels) == picture.pixels).all()
    assert 0 <= floats.min() <= floats.max() <= 1
    levels = to_levels(floats, picture.pixels.dtype)
    assert levels.dtype == picture.pixels.dtype
    assert (levels == picture.pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_outside_of_zero_to_one_is_clipped(dtype):
    assert to_levels(np.array([-1, 0, 1, 2.5]), dtype).tolist() == [0, 0, np.iinfo(dtype).max, np.iinfo(dtype).max]


@given(st.integers(1, 1000), st.integers(1, 300))
def test_bands_cover_every_row_once(height, rows):
    covered = [row for band in row_bands(height, rows) for row in range(height)[band]]
    assert covered == list(range(height))
