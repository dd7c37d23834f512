"""Progress and cancellation: a protocol that callers implement and long jobs call."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from lib_upscale.errors import CancelledError

__all__ = [
    "SILENT",
    "Callback",
    "Clock",
    "PartProgress",
    "Progress",
    "Silent",
    "Span",
    "begin_part",
    "check",
    "duration",
]

_TICK = 0.25
"""Seconds between two movements of a `Clock`."""

_LEARNED = 0.02
"""Share of a job after which its own pace tells more than what was estimated before."""


class Progress(Protocol):
    """What a long job reports to its caller, and asks it."""

    def report(self, fraction: float, text: str = "") -> None:
        """Take note of how far the job is.

        Args:
            fraction: 0 to 1, never less than before.
            text: What is being done from here on, in plain words.
        """

    def cancelled(self) -> bool:
        """Return whether the person asked to stop. Asked before every tile or layer, so it must be cheap."""


class PartProgress(Progress):
    """A `Progress` that is also told what the parts of a job are, so that it can move while one is being done."""

    @abstractmethod
    def begin(self, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
        """Take note that a part of the job begins; in place of `report`, see `begin_part`.

        Args:
            fraction: How far the job is, 0 to 1, never less than before.
            text: What the part is, in plain words.
            until: The fraction at which it will be done.
            seconds: About what it takes; None: not known.
        """


def begin_part(progress: Progress, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
    """Report that a part of a job begins. The arguments after `progress` are those of `PartProgress.begin`."""
    if isinstance(progress, PartProgress):
        progress.begin(fraction, text, until, seconds)
    else:
        progress.report(fraction, text)


class Silent(Progress):
    """Reports to nobody and never stops."""

    @override
    def report(self, fraction: float, text: str = "") -> None:
        return

    @override
    def cancelled(self) -> bool:
        return False


SILENT = Silent()
"""The only one that is needed."""


@dataclass
class Callback(Progress):
    """A `Progress` made of two functions. Fractions are clamped to 0..1 and never go back."""

    on_report: Callable[[float, str], None]
    """Called with every report."""
    is_cancelled: Callable[[], bool] = lambda: False
    """Asked whether to stop."""
    _highest: float = field(default=0.0, init=False)

    @override
    def report(self, fraction: float, text: str = "") -> None:
        self._highest = max(self._highest, min(1.0, max(0.0, fraction)))
        self.on_report(self._highest, text)

    @override
    def cancelled(self) -> bool:
        return self.is_cancelled()


class Clock(Callback, PartProgress):
    """A `Callback` that also moves within the parts of a job, by the clock, inside `with`.

    It never passes a part's end. As long as nobody says what a part takes it stands still, until one has shown how
    fast the job goes.

    Args:
        on_report: Called with every report, and by a thread of its own in between.
        is_cancelled: Asked whether to stop.
    """

    def __init__(
        self, on_report: Callable[[float, str], None], is_cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(on_report, is_cancelled)
        self._lock, self._over = threading.Lock(), threading.Event()
        self._text = ""
        self._first: tuple[float, float] | None = None
        """Fraction and time at which the first part began."""
        self._part = (0.0, 0.0, 0.0, 0.0)
        """What is being done: from which fraction, to which, begun when, in how many seconds; 0: not known."""

    def __enter__(self) -> Clock:
        with contextlib.suppress(RuntimeError):  # the system starts no more threads: it moves with reports alone
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._lock:  # a movement that has begun is over, too
            pass

    @override
    def report(self, fraction: float, text: str = "") -> None:
        with self._lock:
            self._part = fraction, fraction, 0.0, 0.0
            self._show(fraction, text)

    @override
    def begin(self, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
        with self._lock:
            now = time.monotonic()
            self._first = self._first or (fraction, now)
            self._part = fraction, until, now, self._learned(fraction, until, now) or seconds or 0.0
            self._show(fraction, text)

    def _learned(self, fraction: float, until: float, now: float) -> float | None:
        """Seconds for the part up to `until`, at the pace of all before it."""
        assert self._first is not None
        done = fraction - self._first[0]
        return (now - self._first[1]) * (until - fraction) / done if done >= _LEARNED else None

    def _show(self, fraction: float, text: str) -> None:
        self._text = text or self._text
        super().report(fraction, self._text)

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                start, end, began, seconds = self._part
                if seconds > 0 and not self._over.is_set():
                    passed = (time.monotonic() - began) / seconds
                    self._show(start + (end - start) * _approach(passed), "")


def _approach(passed: float) -> float:
    """How far to show a part of which that share of its time has passed: in the end ever slower, never to its end."""
    return passed if passed < 0.8 else 1 - 0.2 * math.exp(-(passed - 0.8) / 0.2)


@dataclass(frozen=True)
class Span(PartProgress):
    """The part from `start` to `end` of a larger progress: a job inside a job."""

    whole: Progress
    """The larger one."""
    start: float
    """Where the inner job begins, 0 to 1."""
    end: float
    """Where it ends, 0 to 1."""
    name: str = ""
    """What the inner job is called before its own words, as in "pass 2 of 2"."""
    seconds: float | None = None
    """About what it takes."""

    @override
    def report(self, fraction: float, text: str = "") -> None:
        self.whole.report(self._place(fraction), self._words(text))

    @override
    def begin(self, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
        if seconds is None and self.seconds is not None:
            seconds = self.seconds * (until - fraction)
        begin_part(self.whole, self._place(fraction), self._words(text), self._place(until), seconds)

    def _words(self, text: str) -> str:
        return ", ".join(filter(None, (self.name, text)))

    def _place(self, fraction: float) -> float:
        return self.start + (self.end - self.start) * fraction

    @override
    def cancelled(self) -> bool:
        return self.whole.cancelled()


def check(progress: Progress) -> None:
    """Raise `CancelledError` if the person asked to stop."""
    if progress.cancelled():
        raise CancelledError()


def duration(seconds: float) -> str:
    """Put a time into words: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
