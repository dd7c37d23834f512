"""Progress and cancellation, as a protocol: whoever waits implements it, whoever works calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lib_upscale.errors import CancelledError

__all__ = ["SILENT", "Callback", "Progress", "Silent", "Span", "check", "duration"]


class Progress(Protocol):
    """What a long job tells the one who waits for it, and what it asks."""

    def report(self, fraction: float, text: str = "") -> None:
        """Say how far the job is: `fraction` from 0 to 1, never less than before; `text` in plain words."""

    def cancelled(self) -> bool:
        """Whether the person asked to stop. Asked before every tile, so it must be cheap."""


class Silent:
    """Tells nobody and never stops."""

    def report(self, fraction: float, text: str = "") -> None:
        """Ignore it."""

    def cancelled(self) -> bool:
        """Never."""
        return False


SILENT = Silent()


@dataclass
class Callback:
    """A `Progress` made of two functions. Fractions are clamped to 0..1 and never go back."""

    on_report: Callable[[float, str], None]
    is_cancelled: Callable[[], bool] = lambda: False
    _highest: float = 0.0

    def report(self, fraction: float, text: str = "") -> None:
        """Pass on `fraction`, or the highest one so far if it is lower."""
        self._highest = max(self._highest, min(1.0, max(0.0, fraction)))
        self.on_report(self._highest, text)

    def cancelled(self) -> bool:
        """What `is_cancelled` says."""
        return self.is_cancelled()


@dataclass(frozen=True)
class Span:
    """The part from `start` to `end` of a larger progress: a job inside a job."""

    whole: Progress
    start: float
    end: float

    def report(self, fraction: float, text: str = "") -> None:
        """Report the inner fraction at its place in the whole."""
        self.whole.report(self.start + (self.end - self.start) * fraction, text)

    def cancelled(self) -> bool:
        """What the whole says."""
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
