"""Target sizes are exact to the pixel."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.target import (
    MAX_SIDE,
    Anchor,
    Box,
    Factor,
    Fit,
    Height,
    LongestSide,
    Megapixels,
    ShortestSide,
    Width,
    layout,
)

sides = st.integers(1, 5000)
sizes = st.builds(Size, sides, sides)
fits = st.sampled_from(Fit)
anchors = st.sampled_from(Anchor)


@pytest.mark.parametrize(
    ("size", "target", "final"),
    [
        (Size(1280, 720), Factor(2), Size(2560, 1440)),
        (Size(1280, 720), Factor(1.5), Size(1920, 1080)),
        (Size(45, 15), Factor(0.7), Size(32, 11)),
        (Size(3, 1), Factor(0.1), Size(1, 1)),
        (Size(768, 512), Box(1920, 1080, Fit.COVER), Size(1920, 1080)),
        (Size(768, 512), Box(1920, 1080, Fit.PAD), Size(1920, 1080)),
        (Size(768, 512), Box(1920, 1080, Fit.STRETCH), Size(1920, 1080)),
        (Size(768, 512), Box(1920, 1080, Fit.CONTAIN), Size(1620, 1080)),
        (Size(768, 512), Width(1000), Size(1000, 667)),
        (Size(768, 512), Height(1000), Size(1500, 1000)),
        (Size(512, 768), LongestSide(1000), Size(667, 1000)),
        (Size(768, 512), LongestSide(1000), Size(1000, 667)),
        (Size(512, 768), ShortestSide(1000), Size(1000, 1500)),
        (Size(768, 512), ShortestSide(1000), Size(1500, 1000)),
        (Size(500, 500), ShortestSide(1000), Size(1000, 1000)),
        (Size(1000, 500), Megapixels(2), Size(2000, 1000)),
    ],
)
def test_known_sizes(size, target, final):
    assert layout(size, target).final == final


def test_covering_crops_from_the_middle_or_where_it_is_anchored():
    cover = layout(Size(768, 512), Box(1920, 1080, Fit.COVER))
    assert cover.scaled == Size(1920, 1280)
    assert cover.crop == Region(0, 100, 1920, 1080)
    assert layout(Size(768, 512), Box(1920, 1080, Fit.COVER, Anchor.TOP)).crop == Region(0, 0, 1920, 1080)
    assert layout(Size(768, 512), Box(1920, 1080, Fit.COVER, Anchor.BOTTOM_LEFT)).crop == Region(0, 200, 1920, 1080)


def test_padding_lays_it_where_it_is_anchored():
    assert layout(Size(768, 512), Box(1920, 1080, Fit.PAD)).offset == (150, 0)
    assert layout(Size(768, 512), Box(1920, 1080, Fit.PAD, Anchor.TOP_RIGHT)).offset == (300, 0)


def covered(size, width, height):
    """What covers the box before it is cropped."""
    factor = max(Fraction(width, size.width), Fraction(height, size.height))
    return [math.floor(side * factor + Fraction(1, 2)) for side in size]


@given(sizes, sides, sides, fits, anchors)
@example(Size(1, 352), 2841, 1, Fit.COVER, Anchor.CENTER)
def test_a_box_is_kept_and_the_shape_too(size, width, height, fit, anchor):
    box = Box(width, height, fit, anchor)
    if fit is Fit.COVER and max(covered(size, width, height)) > MAX_SIDE:
        # All of it would have to be made, and most of it cropped: that is too large, however small the box.
        with pytest.raises(SettingsError, match="pixels a side"):
            layout(size, box)
        return
    found = layout(size, box)
    if fit is Fit.CONTAIN:
        assert found.final.width <= width
        assert found.final.height <= height
        assert found.final.width == width or found.final.height == height
    else:
        assert found.final == Size(width, height)
    if fit is not Fit.STRETCH:
        factor = Fraction(found.scaled.width, size.width), Fraction(found.scaled.height, size.height)
        exact = (max if fit is Fit.COVER else min)(Fraction(width, size.width), Fraction(height, size.height))
        for side, scale in zip(size, factor, strict=True):
            assert abs(scale - exact) * side <= Fraction(1, 2) or round(side * scale) == 1
    if found.crop is not None:
        assert found.crop.size == found.final
        assert Region.whole(found.scaled).contains(found.crop)
    if found.offset is not None:
        assert Region.whole(found.final).contains(Region.whole(found.scaled).moved(*found.offset))


@given(sizes, st.integers(1, 8))
def test_a_whole_factor_is_exact(size, factor):
    assert layout(size, Factor(factor)).final == size.scaled(factor)


@given(sizes, st.floats(0.001, 20))
def test_any_factor_gives_at_least_a_pixel_and_the_nearest_size(size, factor):
    final = layout(size, Factor(factor)).final
    for before, after in zip(size, final, strict=True):
        assert after >= 1
        assert abs(after - before * factor) <= 0.5 + 1e-6 or after == 1


@given(st.builds(Size, st.integers(1, 100), st.integers(1, 100)), st.integers(1, 9000))
def test_the_side_that_was_asked_for_is_exact(size, pixels):
    assert layout(size, Width(pixels)).final.width == pixels
    assert layout(size, Height(pixels)).final.height == pixels
    shape = size.width >= size.height
    longest = layout(size, LongestSide(pixels)).final
    shortest = layout(size, ShortestSide(pixels)).final
    assert (longest.width if shape else longest.height) == pixels == max(longest)
    assert (shortest.height if shape else shortest.width) == pixels == min(shortest)


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_impossible_factors_are_refused(value):
    with pytest.raises(SettingsError):
        Factor(value)
    with pytest.raises(SettingsError):
        Megapixels(value)


@pytest.mark.parametrize("pixels", [0, -5, 10**9, 10.5])
def test_impossible_sides_are_refused(pixels):
    for target in (Width, Height, LongestSide, ShortestSide):
        with pytest.raises(SettingsError):
            target(pixels)
    with pytest.raises(SettingsError):
        Box(pixels, 10)
    with pytest.raises(SettingsError):
        Box(10, pixels)


def test_absurd_results_are_refused_in_words():
    with pytest.raises(SettingsError, match="pixels a side"):
        layout(Size(1000, 1000), Factor(1e7))
    with pytest.raises(SettingsError, match="pixels a side"):
        layout(Size(1, 10000), Width(1000))
