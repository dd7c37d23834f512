"""Upscales one file: the steps of the command `upscale`, and what it prints before a long run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_upscale.cli.batch import ERRORS_OF_THE_MODEL
from lib_upscale.cli.inputs import FileJob
from lib_upscale.cli.manifest import Manifest
from lib_upscale.cli.output import Bar, model_progress
from lib_upscale.errors import CancelledError, OutputError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import (
    Animation,
    Format,
    Frame,
    Pages,
    check_pages,
    check_writable,
    format_of,
    limits,
    quality_options,
    read_frames,
    read_pages,
    read_picture,
    read_size,
    write_animation,
    write_pages,
    write_picture,
)
from lib_upscale.image.picture import Picture
from lib_upscale.models.catalog.bundled import DEFAULT_MODEL
from lib_upscale.models.library import Models
from lib_upscale.progress import Progress, Span
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan, plan_upscale
from lib_upscale.upscaling.run import upscale

__all__ = ["FileSteps", "announcement", "pixels_in", "plan_first"]

_LONG = 20.0
"""From how many seconds on a run is announced with its length."""

_TIMED_PIXELS = 2 * 64 * 64

_FAST_MODEL = "Real-ESRGAN animevideov3 x4"


_Loaded = Picture | Animation | Pages


@dataclass(frozen=True)
class FileSteps:
    """Reads, upscales and writes one image or animation (`batch.Steps`)."""

    settings: UpscaleSettings
    models: Models
    manifest: Manifest
    bar: Bar
    limit: int
    """The most pixels that are read."""
    writing: dict[str, Any]
    """Quality and whether without loss, as `write_picture` wants them."""
    planned: dict[FileJob, UpscalePlan] = field(default_factory=dict)
    """Plans that were made already, to announce the run."""

    def read(self, job: FileJob) -> _Loaded:
        """Read the image, or open the frames of an animation or the pages of a file. Raises `PictureError`."""
        self.manifest.record_source(job)
        return _open_several(job.source, self.limit) or read_picture(job.source, limit_pixels=self.limit)

    def compute(self, job: FileJob, loaded: _Loaded) -> Callable[[], None]:
        """Upscale it and return what writes the result. Frames are written as they come, to keep few in memory."""
        if isinstance(loaded, Pages):
            return self._compute_pages(job, loaded)
        plan = self._plan(job, loaded.size)
        self._check_output(job, loaded, plan.output)
        self.manifest.begin(job, _least_bytes(job, plan.output))
        with self.bar.progress() as progress:
            if isinstance(loaded, Animation):
                frames = self._upscale_frames(loaded, plan, progress)
                write_animation(frames, job.output, plays=loaded.plays, **self.writing)
                return lambda: self.manifest.finish(job)
            result = upscale(loaded, plan, self.models, progress).picture

        def write() -> None:
            write_picture(result, job.output, **self.writing)
            self.manifest.finish(job)

        return write

    def _compute_pages(self, job: FileJob, pages: Pages) -> Callable[[], None]:
        check_pages(job.output)
        plans = {size: self._plan(job, size) for size in dict.fromkeys(pages.sizes)}
        for plan in plans.values():
            check_writable(job.output, plan.output)
        self.manifest.begin(job, sum(_least_bytes(job, plans[size].output) for size in pages.sizes))
        with self.bar.progress() as progress:
            results = self._upscale_pages(pages, plans, progress)
            write_pages(results, job.output, [plans[size].output for size in pages.sizes])
        return lambda: self.manifest.finish(job)

    def _plan(self, job: FileJob, size: Size) -> UpscalePlan:
        plan = self.planned.pop(job, None)
        if plan is not None and plan.source == size:
            return plan
        return plan_upscale(size, self.settings, self.models, load=False)

    def _check_output(self, job: FileJob, loaded: Picture | Animation, output: Size) -> None:
        """Raise now what would otherwise be raised after the work: a result that its format can't hold."""
        quality_options(format_of(job.output), **self.writing)
        if isinstance(loaded, Picture):
            check_writable(job.output, output, loaded.bits, loaded.alpha is not None)
            return
        format = check_writable(job.output, output)
        if not limits(format_of(job.output)).animated:
            raise OutputError(
                job.output, f"can't be written, {format.name} can't hold an animation", "use .gif, .webp or .png"
            )

    def _upscale_frames(self, animation: Animation, plan: UpscalePlan, progress: Progress) -> Iterator[Frame]:
        for number, frame in enumerate(animation.frames()):
            name = f"frame {number + 1} of {animation.count}"
            part = Span(progress, number / animation.count, (number + 1) / animation.count, name)
            result = upscale(frame.picture, plan, self.models, part)
            plan = result.plan
            yield Frame(result.picture, frame.duration)

    def _upscale_pages(self, pages: Pages, plans: dict[Size, UpscalePlan], progress: Progress) -> Iterator[Picture]:
        done, total = 0, sum(size.pixels for size in pages.sizes)
        for number, picture in enumerate(pages.pictures(), 1):
            end = done + picture.size.pixels
            part = Span(progress, done / total, end / total, f"page {number} of {len(pages.sizes)}")
            result = upscale(picture, plans[picture.size], self.models, part)
            plans[picture.size], done = result.plan, end
            yield result.picture


def _least_bytes(job: FileJob, size: Size) -> int:
    """What the file of a result takes at least: of a single color, where the format compresses."""
    return size.pixels * 3 if format_of(job.output) is Format.BMP else size.pixels // 1000


def _open_several(path: Path, limit: int) -> Animation | Pages | None:
    """What a file holds if that is more than one image."""
    return read_frames(path, limit_pixels=limit) or read_pages(path, limit_pixels=limit)


def pixels_in(path: Path, limit: int) -> int:
    """How many pixels a file holds in all its frames, by its header; how many bytes, where that can't be read."""
    try:
        several = _open_several(path, limit)
        if isinstance(several, Animation):
            return several.size.pixels * several.count
        return sum(size.pixels for size in several.sizes) if several else read_size(path, limit_pixels=limit).pixels
    except Exception:  # whatever is wrong with a file is reported when it is its turn, and ends no other
        return _bytes_in(path)


def _bytes_in(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1


def plan_first(first: Path, share: float, settings: UpscaleSettings, models: Models, limit: int) -> UpscalePlan | None:
    """Plan the first file of a run; None where that fails for this file, which is reported when it is its turn.

    Args:
        first: The file.
        share: Its part of the pixels of all files, 0 to 1.
        settings: How to upscale it.
        models: Where the settings' models are.
        limit: The most pixels that are read.
    """
    try:
        size = read_size(first, limit_pixels=limit)
        # Timing a network that never ran here computes about as many pixels as this.
        worth_timing = size.pixels / share > _TIMED_PIXELS
        return plan_upscale(size, settings, models, timed=worth_timing, progress=model_progress())
    except (CancelledError, *ERRORS_OF_THE_MODEL):
        raise
    except Exception:  # such as a result that is too large: another file may do
        return None


def announcement(plan: UpscalePlan, share: float, models: Models) -> list[str]:
    """Return what to say before a run: what becomes of the first file, and how long all will take if that is long.

    Args:
        plan: Of the first file.
        share: That file's part of the pixels of all files, 0 to 1.
        models: What the plan was made with.
    """
    lines = [plan.describe()]
    seconds = None if plan.seconds is None else plan.seconds * (1 / share)
    slow_default = not plan.settings.model and models.cache.device.type == "cpu"
    if seconds is not None and (slow_default or seconds.middle >= _LONG):
        lines.append(f"This will take {seconds.describe()} on {models.cache.device.type}")
    if slow_default:
        lines.append(f'{DEFAULT_MODEL} is slow on a CPU: --model "{_FAST_MODEL}" is about 30 times faster')
    return lines
