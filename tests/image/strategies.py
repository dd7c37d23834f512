"""Pictures of every kind, for properties."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from lib_upscale.image.picture import Picture


def noise(shape, bits, seed):
    """Random values of every level."""
    return (
        np.random.default_rng(seed).integers(0, 2**bits, shape, np.uint16).astype(np.uint8 if bits == 8 else np.uint16)
    )


DEPTHS, COLORS, EITHER = st.sampled_from((8, 16)), st.sampled_from((1, 3)), st.booleans()


@st.composite
def pictures(draw, max_side=40, bits=DEPTHS, channels=COLORS, alpha=EITHER):
    """Noise, or a smooth ramp, with or without alpha, from 1x1."""
    width, height = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    depth, colors, seed = draw(bits), draw(channels), draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        pixels = noise((height, width, colors), depth, seed)
    else:
        ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.arange(1, colors + 1)
        pixels = (ramp * 3 % 2**depth).astype(np.uint8 if depth == 8 else np.uint16)
    return Picture(pixels, noise((height, width), depth, seed + 1) if draw(alpha) else None)


def same_pixels(one, other):
    """Whether two pictures have the same pixels, depth, channels and alpha."""
    return (
        one.pixels.dtype == other.pixels.dtype
        and np.array_equal(one.pixels, other.pixels)
        and (one.alpha is None) == (other.alpha is None)
        and (one.alpha is None or np.array_equal(one.alpha, other.alpha))
    )
