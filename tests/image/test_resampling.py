"""Resampling: by bands or whole is one, constants stay constant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_upscale.errors import CancelledError, SettingsError
from lib_upscale.image import resampling as module
from lib_upscale.image.geometry import Size
from lib_upscale.image.resampling import METHODS, resample
from lib_upscale.progress import Callback
from tests.image.strategies import noise, pictures

sizes = st.builds(Size, st.integers(1, 200), st.integers(1, 200))
methods = st.sampled_from(METHODS)


@given(st.builds(Size, st.integers(1, 60), st.integers(1, 60)), sizes, st.sampled_from(METHODS[:-1]))
def test_it_is_what_pillow_computes_whole_in_float(before, after, method):
    pixels = noise((before.height, before.width), 16, before.pixels)
    filters = {"lanczos": 1, "bicubic": 3, "bilinear": 2, "box": 4}
    image = Image.fromarray(pixels.astype(np.float32))
    whole = np.array(image.resize(tuple(after), Image.Resampling(filters[method])))
    found = resample(pixels, after, method)
    assert found.dtype == np.uint16
    assert found.shape == (after.height, after.width)
    if method != "box":  # where a center lies on a pixel's border, either neighbor is right for a box
        assert np.abs(np.clip(whole, 0, 65535) - found).max() <= 2  # of 65535; Pillow rounds between its two passes


def test_the_height_of_bands_does_not_matter(monkeypatch):
    pixels = noise((150, 40, 3), 16, 1)
    for size in (Size(70, 333), Size(33, 41)):
        found = []
        for rows in (64, 5000):
            monkeypatch.setattr(module, "_BLOCK", rows)
            found.append(resample(pixels, size).astype(int))
        assert np.abs(found[0] - found[1]).max() <= 1


@given(st.integers(0, 65535), st.builds(Size, st.integers(1, 30), st.integers(1, 30)), sizes, methods)
def test_a_constant_stays_constant(level, before, after, method):
    assert (resample(np.full((*reversed([*before]), 3), level, np.uint16), after, method) == level).all()


@given(pictures(max_side=12), st.integers(1, 4))
def test_nearest_by_a_whole_factor_repeats_pixels(picture, factor):
    result = resample(picture.pixels, picture.size.scaled(factor), "nearest")
    assert (result == picture.pixels.repeat(factor, 0).repeat(factor, 1)).all()


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 3), st.integers(2000, 30000))
def test_extreme_shapes(short, long):
    pixels = noise((short, long, 1), 8, long)
    assert resample(pixels, Size(1, 500)).shape == (500, 1, 1)
    assert abs(int(resample(pixels, Size(1, 1), "box")[0, 0, 0]) - pixels.mean()) <= 0.51


def test_progress_ends_at_one_and_cancelling_stops_it():
    said = []
    resample(np.zeros((100, 10), np.uint8), Size(20, 500), progress=Callback(lambda fraction, _: said.append(fraction)))
    assert said == sorted(said)
    assert said[-1] == 1
    with pytest.raises(CancelledError):
        resample(np.zeros((100, 10), np.uint8), Size(20, 500), progress=Callback(lambda *_: None, lambda: True))


def test_an_unknown_method_is_named():
    with pytest.raises(SettingsError, match=r"'sharp'.*lanczos"):
        resample(np.zeros((4, 4), np.uint8), Size(2, 2), "sharp")
