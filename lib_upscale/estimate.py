"""Times told before a run: estimated from the last runs of the same kind, with how far these differ."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["KEPT_RUNS", "NOTHING", "Estimate", "Run", "estimate", "kept", "read_runs"]

KEPT_RUNS = 9
"""The last runs of a kind, of which the median counts: one that something else slowed down changes little."""

Run = tuple[float, float]
"""Work, in any unit, and the seconds that it took."""

_APART = 1.5
"""How much two runs' work must differ for them to tell what comes with the work from what every run costs."""
_NEAR = 3.0
"""Up to how much more or less work than any run had an estimate is as good as between them."""
_WIDER = 1.3
"""How far off it may be beyond that, up and down."""
_ENOUGH_TO_DOUBT_ONE = 3
"""Runs from which on one that is far off the others is left out."""
_ONE_NUMBER = 1.5
"""Highest over lowest up to which one number is said."""


@dataclass(frozen=True)
class Estimate:
    """From `low` to `high` seconds, as far as earlier runs tell."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The number to say where one is wanted, in seconds."""
        return (self.low + self.high) / 2

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.high + other.high)

    def __mul__(self, times: float) -> Estimate:
        return Estimate(self.low * times, self.high * times)

    def describe(self) -> str:
        """Put it into words: "about 12 s", "about 2 h 5 min", "about 2 to 5 min"."""
        low, high = _round(self.low), _round(self.high)
        if self.high <= self.low * _ONE_NUMBER or low == high:
            return f"about {_words(_round(self.middle))}"
        if high < 60 or (low >= 60 and high < 3600):
            scale, unit = (1, "s") if high < 60 else (60, "min")
            return f"about {round(low / scale)} to {max(round(low / scale) + 1, round(high / scale))} {unit}"
        return f"about {_words(low)} to {_words(high)}"


NOTHING = Estimate(0.0, 0.0)
"""No time at all."""


def estimate(runs: Sequence[Run], work: float) -> Estimate | None:
    """Estimate what some work takes: what every run costs, and the rest in proportion to the work.

    Args:
        runs: Earlier ones of the same kind.
        work: In their unit.

    Returns:
        None where there was no run.
    """
    runs = [run for run in runs if run[0] > 0 and run[1] > 0]
    if not runs:
        return None
    fixed, rate = _line(runs)
    middle = fixed + rate * work
    off = sorted(seconds / (fixed + rate * done) for done, seconds in runs)
    quarter = max(len(off) // 4, len(off) >= _ENOUGH_TO_DOUBT_ONE)
    low, high = min(1.0, off[quarter]), max(1.0, off[-1 - quarter])
    if not min(runs)[0] / _NEAR <= work <= max(runs)[0] * _NEAR:
        low, high = low / _WIDER, high * _WIDER
    return Estimate(middle * low, middle * high)


def _line(runs: Sequence[Run]) -> Run:
    """Seconds that every run costs, and seconds for a unit of work: medians, which a few odd runs do not move."""
    slopes = [
        (seconds - less_seconds) / (work - less)
        for less, less_seconds in runs
        for work, seconds in runs
        if work >= _APART * less
    ]
    rate = statistics.median(slopes) if slopes else 0.0
    fixed = statistics.median(seconds - rate * work for work, seconds in runs)
    if rate > 0 and fixed > 0:
        return fixed, rate
    return 0.0, statistics.median(seconds / work for work, seconds in runs)


def read_runs(stored: object) -> list[Run]:
    """Read runs as `kept` gave them to a file; what is anything else, as an older version wrote, is left out."""
    entries = stored if isinstance(stored, list) else []
    return [
        (float(entry[0]), float(entry[1]))
        for entry in entries
        if isinstance(entry, (list, tuple)) and len(entry) == 2 and all(isinstance(n, (int, float)) for n in entry)
    ]


def kept(stored: object, work: float, seconds: float) -> list[list[float]]:
    """Return the runs to keep, the newest last, as plain JSON values."""
    runs = [*read_runs(stored), (work, seconds)][-KEPT_RUNS:]
    return [[float(f"{number:.5g}") for number in run] for run in runs]


def _round(seconds: float) -> int:
    """Round to what an estimate is worth."""
    if seconds < 60:
        return max(1, round(seconds))
    step = 5 if seconds < 600 else 60 if seconds < 7200 else 300
    return round(seconds / step) * step


def _words(seconds: int) -> str:
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "min"), (seconds % 60 if seconds < 3600 else 0, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
