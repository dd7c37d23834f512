"""Cropping and padding to an exact size: what stays is the picture, what is added is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import to_floats, to_levels
from lib_upscale.image.padding import pad_floats, pad_or_crop
from lib_upscale.image.picture import Picture
from lib_upscale.image.target import Anchor, Box, Fit, layout

sides = st.integers(1, 60)


def noise(width: int, height: int, channels: int = 3) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8))


def inside(whole: np.ndarray, part: np.ndarray) -> bool:
    """Whether `part` stands somewhere in `whole`, pixel for pixel."""
    height, width = part.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    return bool((windows.reshape(-1, height * width * part.shape[2]) == part.ravel()).all(axis=1).any())


@given(sides, sides, sides, sides, st.sampled_from(Anchor), st.sampled_from(["blur", "#102030", "#fff"]))
def test_a_padded_picture_has_the_exact_size_and_holds_all_of_it(
    width: int, height: int, box_width: int, box_height: int, anchor: Anchor, padding: str
) -> None:
    wanted = layout(Size(width, height), Box(box_width, box_height, Fit.PAD, anchor))
    scaled = noise(wanted.scaled.width, wanted.scaled.height)
    result = pad_or_crop(scaled, wanted, padding)
    assert result.size == Size(box_width, box_height)
    assert inside(result.pixels, scaled.pixels)


@given(sides, sides, sides, sides, st.sampled_from(Anchor))
def test_a_cropped_picture_is_a_part_of_it(w: int, h: int, box_width: int, box_height: int, anchor: Anchor) -> None:
    wanted = layout(Size(w, h), Box(box_width, box_height, Fit.COVER, anchor))
    scaled = noise(wanted.scaled.width, wanted.scaled.height)
    result = pad_or_crop(scaled, wanted, "blur")
    assert result.size == Size(box_width, box_height)
    assert inside(scaled.pixels, result.pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_color_is_that_color(channels: int) -> None:
    wanted = layout(Size(10, 10), Box(30, 10, Fit.PAD))
    result = pad_or_crop(noise(10, 10, channels), wanted, "#204060")
    assert (result.pixels[:, :10] == (0x20, 0x40, 0x60)).all()
    gray = pad_or_crop(noise(10, 10, channels), wanted, "#333")
    assert (gray.pixels[:, :10] == 0x33).all()
    assert gray.channels == channels


def test_blurred_surroundings_have_the_pictures_own_colors_and_no_detail() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :, 0] = 200
    pixels[::2, :, 1] = 255
    result = pad_or_crop(Picture(pixels), layout(Size(40, 40), Box(120, 40, Fit.PAD)), "blur")
    added = result.pixels[:, :36].astype(int)
    assert np.abs(added[..., 0] - 200).max() <= 4
    assert np.abs(np.diff(added[..., 1], axis=0)).max() < 40


def test_what_is_added_is_opaque_and_transparency_stays() -> None:
    alpha = np.full((10, 10), 7, np.uint8)
    picture = Picture(noise(10, 10).pixels, alpha)
    result = pad_or_crop(picture, layout(Size(10, 10), Box(20, 10, Fit.PAD, Anchor.LEFT)), "#000")
    assert result.alpha is not None
    assert (result.alpha[:, :10] == 7).all()
    assert (result.alpha[:, 10:] == 255).all()


@given(sides, sides, sides, sides, st.sampled_from(Anchor), st.sampled_from(["blur", "#102030"]))
def test_float_pixels_get_the_same_border(
    width: int, height: int, box_width: int, box_height: int, anchor: Anchor, padding: str
) -> None:
    """A redraw, whose pixels are floats, and an upscale with the same settings look alike."""
    wanted = layout(Size(width, height), Box(box_width, box_height, Fit.PAD, anchor))
    levels = noise(wanted.scaled.width, wanted.scaled.height).with_bits(16)
    floats = to_floats(levels.pixels)
    result = pad_floats(floats, wanted, padding)
    assert (to_levels(result, np.uint16) == pad_or_crop(levels, wanted, padding).pixels).all()
    assert inside(result, floats)
