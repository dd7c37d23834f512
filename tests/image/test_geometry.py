"""Sizes in whole pixels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), multiple=st.integers(1, 128))
def test_a_size_rounded_up_is_the_smallest_of_such_multiples(width: int, height: int, multiple: int) -> None:
    found = Size(width, height).rounded_up(multiple)
    for side, whole in zip((width, height), found, strict=True):
        assert whole % multiple == 0
        assert side <= whole < side + multiple
