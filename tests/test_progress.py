"""Progress never goes back, a job inside a job reports its place, and cancelling is heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.errors import CancelledError, FileError, TileTooSmallError, UnknownModelError
from lib_upscale.progress import SILENT, Callback, Span, check, duration


@given(st.lists(st.floats(-1, 2), min_size=1))
def test_fractions_rise_within_bounds(fractions: list[float]) -> None:
    seen: list[float] = []
    listener = Callback(lambda fraction, _: seen.append(fraction))
    for fraction in fractions:
        listener.report(fraction)
    assert seen == sorted(seen)
    assert all(0 <= fraction <= 1 for fraction in seen)


def test_a_part_reports_its_place_in_the_whole() -> None:
    seen: list[tuple[float, str]] = []
    whole = Callback(lambda fraction, text: seen.append((fraction, text)))
    Span(whole, 0.5, 0.75).report(0.5, "tile 1 of 2")
    assert seen == [(0.625, "tile 1 of 2")]


def test_cancelling_is_heard_through_parts() -> None:
    check(SILENT)
    with pytest.raises(CancelledError):
        check(Span(Callback(lambda *_: None, lambda: True), 0, 1))


def test_errors_open_with_the_file_and_end_with_advice() -> None:
    assert str(FileError("folder/net.pth", "is empty", "download it again")) == "net.pth is empty: download it again"
    assert str(UnknownModelError("gray", ("gray",))) == "There is no model called 'gray': did you mean 'gray'?"
    assert "set the tile to 96" in str(TileTooSmallError("A tile of 40 is too small", 96))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (11.6, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
