"""What the host's calls for tiles take: sampling, and all the rest of a call, which does not grow with the steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Call", "Stopwatch", "TimedCall"]


@dataclass(frozen=True)
class Call:
    """What one call of the host's img2img computes: a batch of tiles, or a whole canvas by the method joint."""

    method: str
    unet_pixels: int
    """Pixels that the UNet sees at each step."""
    pixels: int
    """Pixels that pass the VAE."""
    steps: int
    """How often the UNet is run."""
    units: int = 0
    """How many ControlNet units lead it: each is a network that runs at every step, too."""


@dataclass(frozen=True)
class TimedCall:
    """A call that came to its end, in seconds."""

    call: Call
    sampling: float
    rest: float


class Stopwatch:
    """Takes the time of calls, one after the other."""

    def __init__(self) -> None:
        self.calls: list[TimedCall] = []
        self._began = self._sampling = 0.0

    @property
    def seconds(self) -> float:
        """What all finished calls took."""
        return sum(timed.sampling + timed.rest for timed in self.calls)

    def start(self) -> None:
        """A call begins."""
        self._began, self._sampling = time.perf_counter(), 0.0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """The call samples while this lasts."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._sampling += time.perf_counter() - began

    def finish(self, call: Call) -> None:
        """The call is done; one that was stopped or failed is not counted."""
        whole = time.perf_counter() - self._began
        self.calls.append(TimedCall(call, self._sampling, max(0.0, whole - self._sampling)))
