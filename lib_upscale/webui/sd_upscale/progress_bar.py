"""The host's progress bar while an image is redrawn: every tile is a job, and enlarging the image is one more."""

from __future__ import annotations

from lib_upscale.webui.host import environment
from lib_upscale.webui.tiled_sampling.stops import Stops

__all__ = ["ProgressBar", "TileCounter"]

_STEPS = 1000


class TileCounter:
    """Makes the host's count of images one of tiles, once for each of the host's jobs: a batch has several runs."""

    def __init__(self) -> None:
        self._job_began: float | None = None
        """When the host's job began that was counted last: tells one job from the next."""
        self._jobs_per_image = 1
        self._images = 1
        """Images of the host's job."""

    def count_tiles(self, jobs_per_image: int, images: int) -> int:
        """Count a run.

        Args:
            jobs_per_image: Jobs that the bar counts for an image.
            images: Images of the run.

        Returns:
            Images of the host's job, which may have several runs.
        """
        state = environment.state()
        if state.job_count <= 0:
            state.job_count = images
            self._job_began = None
        if self._job_began is None or self._job_began != state.time_start:
            self._job_began, self._jobs_per_image = state.time_start, jobs_per_image
            self._images = state.job_count
            state.job_count *= jobs_per_image
            state.job_no *= jobs_per_image
        else:
            state.job_count += (jobs_per_image - self._jobs_per_image) * images
        return self._images


class ProgressBar:
    """A `Progress` for the images of one run, in tiles; `enlarging` is the one for what comes before them.

    Args:
        tiles: How many tiles an image has.
        stops: What the person asked for.
    """

    def __init__(self, tiles: int, stops: Stops) -> None:
        self._tiles, self._stops = tiles, stops
        self._first_job = 0
        self.jobs = tiles + 1
        """Jobs of an image."""
        self.enlarging = _EnlargingProgress(stops)

    def begin_image(self) -> None:
        """Begin with the next image; a run has several where the batch count says so."""
        state = environment.state()
        self._first_job = state.job_no
        state.sampling_step = 0
        state.textinfo = "upscaling"

    def end_image(self) -> None:
        """Count the image as done but for the one job that the host counts after it."""
        state = environment.state()
        state.job_no = self._first_job + self.jobs - 1
        state.textinfo = None

    def report(self, fraction: float, text: str = "") -> None:
        """Show that a share of the tiles is done."""
        done = round(fraction * self._tiles)
        state = environment.state()
        state.job_no = self._first_job + 1 + done
        state.sampling_step = 0
        state.textinfo = text if text.startswith("border") else f"tile {min(done + 1, self._tiles)} of {self._tiles}"

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self._stops.requested()


class _EnlargingProgress:
    """A `Progress` within the job that enlarges the image."""

    def __init__(self, stops: Stops) -> None:
        self._stops = stops

    def report(self, fraction: float, text: str = "") -> None:
        """Show that a share of it is done."""
        state = environment.state()
        state.sampling_steps = _STEPS
        state.sampling_step = int(_STEPS * min(1.0, max(0.0, fraction)))

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self._stops.requested()
