"""Times told before a run: medians of earlier ones, ranges where these differ, hours and minutes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.estimate import KEPT_RUNS, Estimate, estimate, kept, read_runs


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.2, 0.3, "about 1 s"),
        (11.6, 12.2, "about 12 s"),
        (57, 62, "about 1 min"),
        (200, 200, "about 3 min 20 s"),
        (754, 754, "about 13 min"),
        (7500, 7500, "about 2 h 5 min"),
        (61534, 61534, "about 17 h 5 min"),
        (20, 52, "about 20 to 52 s"),
        (130, 290, "about 2 to 5 min"),
        (40, 90, "about 40 s to 1 min 30 s"),
        (3000, 9000, "about 50 min to 2 h 30 min"),
    ],
)
def test_words(low: float, high: float, words: str) -> None:
    assert Estimate(low, high).describe() == words


def test_nothing_is_known_before_the_first_run() -> None:
    assert estimate([], 1.0) is None


def test_one_odd_run_changes_nothing() -> None:
    told = estimate([(100, 10.0), (100, 11.0), (100, 200.0), (100, 9.5), (100, 10.5)], 100)
    assert told is not None
    assert told.describe() == "about 10 s"


def test_what_every_run_costs_is_told_apart_from_what_work_costs() -> None:
    """Small runs beside large ones: 2 s each, and 1 s for 100."""
    told = estimate([(100, 3.0), (200, 4.0), (1000, 12.0)], 400)
    assert told is not None
    assert told.middle == pytest.approx(6.0)


def test_runs_that_differ_are_a_range() -> None:
    told = estimate([(100, 10.0), (100, 30.0), (100, 11.0), (100, 28.0)], 100)
    assert told is not None
    assert told.low < 12
    assert told.high > 25


def test_far_from_all_runs_it_is_less_sure() -> None:
    near, far = estimate([(100, 10.0)], 200), estimate([(100, 10.0)], 2000)
    assert near is not None
    assert far is not None
    assert near.low == near.high == pytest.approx(20.0)
    assert far.low < 200.0 < far.high


@given(st.floats(0, 20), st.floats(0.001, 5), st.integers(0, 2**32))
def test_it_finds_the_line_again(fixed: float, rate: float, seed: int) -> None:
    source = random.Random(seed)
    works = [source.uniform(1, 100) for _ in range(6)]
    told = estimate([(work, fixed + rate * work) for work in works], 50)
    assert told is not None
    if max(works) > 2 * min(works):
        assert told.low / 1.5 <= fixed + rate * 50 <= told.high * 1.5


def test_only_the_last_runs_are_kept_and_what_is_no_run_is_dropped() -> None:
    stored: object = None
    for number in range(20):
        stored = kept(stored, 1.0, 10.0 + number)
    assert [seconds for _, seconds in read_runs(stored)] == [10.0 + number for number in range(20)][-KEPT_RUNS:]
    assert read_runs(0.4) == read_runs("x") == read_runs([1, None, ["a", 2], [1, 2, 3]]) == []
