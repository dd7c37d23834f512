"""The host's progress bar while a picture is redrawn: every tile is a job, and enlarging the picture is one more."""

from __future__ import annotations

from typing import Any

from lib_upscale.webui.host import environment
from lib_upscale.webui.tiled_sampling.stops import Stops

__all__ = ["Bar"]

_STEPS = 1000

_scaled: dict[str, Any] = {"begun": None, "each": 1}
"""The host's job whose count of pictures has been made one of tiles, and how many jobs a picture of it has."""


class Bar:
    """A `Progress` for the pictures of one run, in tiles; `upscaling` is the one for the part before them."""

    def __init__(self, tiles: int, pictures: int, stops: Stops) -> None:
        self.tiles = tiles
        self.stops = stops
        self._each = tiles + 1
        self._start = 0
        self._scale(pictures)

    def _scale(self, pictures: int) -> None:
        """Make the host's count of pictures one of tiles; a batch of pictures calls this for each of them."""
        state = environment.state()
        if state.job_count <= 0:
            state.job_count = pictures
            _scaled["begun"] = None
        if _scaled["begun"] != state.time_start or state.time_start is None:
            _scaled.update(begun=state.time_start, each=self._each)
            state.job_count *= self._each
            state.job_no *= self._each
        elif _scaled["each"] != self._each:
            state.job_count += (self._each - _scaled["each"]) * pictures

    def begin_picture(self) -> None:
        """A picture begins; one batch count has several."""
        self._start = environment.state().job_no
        environment.state().sampling_step = 0
        environment.state().textinfo = "upscaling"

    def end_picture(self) -> None:
        """It is done: the host counts one more job after it."""
        environment.state().job_no = self._start + self._each - 1
        environment.state().textinfo = None

    def report(self, fraction: float, text: str = "") -> None:
        """So much of the tiles is done."""
        done = round(fraction * self.tiles)
        state = environment.state()
        state.job_no = self._start + 1 + done
        state.sampling_step = 0
        state.textinfo = text if text.startswith("border") else f"tile {min(done + 1, self.tiles)} of {self.tiles}"

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self.stops.requested()

    @property
    def upscaling(self) -> Upscaling:
        """The progress of enlarging."""
        return Upscaling(self.stops)


class Upscaling:
    """A `Progress` within the job that enlarges the picture."""

    def __init__(self, stops: Stops) -> None:
        self._stops = stops

    def report(self, fraction: float, text: str = "") -> None:
        """So much of it is done."""
        environment.state().sampling_steps = _STEPS
        environment.state().sampling_step = int(_STEPS * min(1.0, max(0.0, fraction)))

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self._stops.requested()
