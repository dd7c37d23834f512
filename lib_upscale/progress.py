"""Progress and cancellation: a protocol that callers implement and long jobs call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from lib_upscale.errors import CancelledError

__all__ = ["SILENT", "Callback", "Progress", "Silent", "Span", "check", "duration"]


class Progress(Protocol):
    """What a long job reports to its caller, and asks it."""

    def report(self, fraction: float, text: str = "") -> None:
        """Take note of how far the job is.

        Args:
            fraction: 0 to 1, never less than before.
            text: What is being done, in plain words.
        """

    def cancelled(self) -> bool:
        """Return whether the person asked to stop. Asked before every tile or layer, so it must be cheap."""


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


@dataclass(frozen=True)
class Span(Progress):
    """The part from `start` to `end` of a larger progress: a job inside a job."""

    whole: Progress
    """The larger one."""
    start: float
    """Where the inner job begins, 0 to 1."""
    end: float
    """Where it ends, 0 to 1."""

    @override
    def report(self, fraction: float, text: str = "") -> None:
        self.whole.report(self.start + (self.end - self.start) * fraction, text)

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
