"""The host's jobs: whether one is running, marking one of ours, its progress bar, and its stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from lib_upscale.progress import Clock, PartProgress, Progress
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import replaced

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "HostBar",
    "TwoPasses",
    "api_job",
    "begin_extras_image",
    "count_image",
    "extras_job",
    "image_progress",
    "img2img_by_api",
    "interrupt_at_once",
    "is_busy",
    "is_extras_job",
    "is_started_on_page",
    "kept_state",
    "queue_lock",
    "stop_requested",
]

_STEPS = 1000
_POINT = 1e-4
"""Length of a part that has none: nobody sees the sampler move the bar by that."""


def is_busy() -> bool:
    """Whether a job is running."""
    state = environment.state()
    return bool(state.job or state.job_count)


def is_started_on_page() -> bool:
    """Whether the job was started by a button of the page, which names it so, and not by the API."""
    return str(environment.state().job).startswith("task(")


def queue_lock() -> AbstractContextManager[object]:
    """The lock that every job of the host takes. It must not be taken twice by one thread."""
    from modules import call_queue

    lock: AbstractContextManager[object] = call_queue.queue_lock
    return lock


def stop_requested() -> bool:
    """Whether the person pressed Interrupt or Skip."""
    state = environment.state()
    return bool(state.interrupted or state.skipped)


@contextmanager
def interrupt_at_once() -> Iterator[None]:
    """Have the first press of Interrupt stop at once while this lasts, however many jobs the host counts.

    The setting that says otherwise is hidden and not changed: a person may save the settings meanwhile.
    """
    attributes = vars(environment.opts())
    attributes["interrupt_after_current"] = False
    try:
        yield
    finally:
        attributes.pop("interrupt_after_current", None)


@contextmanager
def kept_state() -> Iterator[None]:
    """Nobody begins or ends the job while this lasts: for parts of the host that think they are one of their own."""
    with ExitStack() as stack:
        for name in ("begin", "end"):
            stack.enter_context(replaced(environment.state(), name, lambda *_, **__: None))
        yield


@contextmanager
def api_job(count: int) -> Iterator[None]:
    """Mark the host as busy with `count` images, so that its progress and Interrupt work."""
    state = environment.state()
    state.begin(job="upscale-plus")
    state.job_count = count
    try:
        yield
    finally:
        state.end()


_in_extras = threading.local()


@contextmanager
def extras_job() -> Iterator[None]:
    """Mark the current thread as running a job of the Extras tab."""
    _in_extras.active = True
    begin_extras_image(1)
    try:
        yield
    finally:
        _in_extras.active = False


def begin_extras_image(upscales: int) -> None:
    """Take note that an image is worked on now, which is upscaled so often: by the host's accordion and by ours."""
    _in_extras.done, _in_extras.parts = 0, max(1, upscales)


def is_extras_job() -> bool:
    """Whether the current thread runs a job of the Extras tab."""
    return getattr(_in_extras, "active", False)


def img2img_by_api(app: FastAPI, request: dict[str, object]) -> Any:
    """What the host's own API answers to such an img2img request: it queues, counts and checks it as ever.

    Args:
        app: The host's FastAPI application.
        request: The request's fields by name.
    """
    from modules.api.models import StableDiffusionImg2ImgProcessingAPI

    endpoint = next(route.endpoint for route in app.routes if getattr(route, "path", "") == "/sdapi/v1/img2img")
    return endpoint(StableDiffusionImg2ImgProcessingAPI(**request))


class _Words(Progress):
    """Says what is done beside the host's bar, which is the sampler's and stays so."""

    @override
    def report(self, fraction: float, text: str = "") -> None:
        if text:
            environment.state().textinfo = text

    @override
    def cancelled(self) -> bool:
        return stop_requested()


@contextmanager
def image_progress(*, counted_already: bool = False, moves_bar: bool = True) -> Iterator[Progress]:
    """Show on the host's bar how far the upscaling of an image is.

    Args:
        counted_already: The job counts an image as done before it begins and would show 100% at once for a single
            one: the count is taken back until the image is done.
        moves_bar: False in a generation, where the bar is the sampler's and stays so.
    """
    state = environment.state()
    if not moves_bar:
        text = state.textinfo
        try:
            yield _Words()
        finally:
            state.textinfo = text
        return
    if counted_already:
        state.job_no -= 1
    done, parts = _next_part()
    try:
        count = state.job_count
        image = f"image {state.job_no + 1} of {count}" if count > 1 else ""
        with HostBar(stop_requested, image, done / parts, (done + 1) / parts) as bar, bar.within_part() as progress:
            yield progress
    finally:
        if counted_already:
            count_image()


def count_image() -> None:
    """Count the image that is worked on as done."""
    state = environment.state()
    vars(state).update(job_no=state.job_no + 1, sampling_step=0)


def _next_part() -> tuple[int, int]:
    """Upscales of the current image that are done, and how many there are."""
    if not is_extras_job():
        return 0, 1
    done, parts = _in_extras.done, _in_extras.parts
    _in_extras.done = min(done + 1, parts - 1)
    return done, parts


class HostBar(PartProgress):
    """The host's bar as a `Progress` of its current job, inside `with`. Afterwards the job counts as done.

    It never goes back. The host shows `job_no / job_count`, and within a job the sampler's share of its steps. A part
    of one job that the host samples is made a job of its own for as long: both numbers are scaled, so that the sampler
    moves the bar from the part's beginning to its end, and what scripts read of its steps stays true.

    Args:
        is_cancelled: Asked whether to stop.
        image: Said before everything else, as "image 2 of 3".
        start: Where in the job this begins, 0 to 1, if it is not all of it; before 0 it begins in the job before it.
        end: Where it ends.
        job: How many jobs the host has done and how many there are; None: what it says now.
    """

    def __init__(
        self,
        is_cancelled: Callable[[], bool],
        image: str = "",
        start: float = 0.0,
        end: float = 1.0,
        job: tuple[int, int] | None = None,
    ) -> None:
        self._is_cancelled, self._image = is_cancelled, image
        self._start, self._end = start, end
        self._part, self._words = (0.0, 1.0), ""
        state = environment.state()
        self._job_no, self._host_count = job or (state.job_no, state.job_count)
        self._job_count = max(1, self._host_count)
        self._text = state.textinfo

    def __enter__(self) -> HostBar:
        return self

    def __exit__(self, *_: object) -> None:
        # The host itself counts the job only after it has saved the image.
        _set(
            job_no=self._job_no,
            job_count=self._host_count,
            sampling_steps=_STEPS,
            sampling_step=round(_STEPS * self._end),
            textinfo=self._text,
        )

    @override
    def report(self, fraction: float, text: str = "") -> None:
        self.begin(fraction, text, fraction)

    @override
    def begin(self, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
        self._part = fraction, until
        place, end = (self._start + (self._end - self._start) * share for share in (fraction, until))
        place = max(place, self._shown())
        length = max(end - place, _POINT)
        self._words = text or self._words
        words = self._with_image(self._words)
        job_no, job_count = _whole((self._job_no + place) / length), _whole(self._job_count / length)
        _set(job_no=job_no, job_count=job_count, sampling_step=0, textinfo=words)

    def _with_image(self, text: str) -> str:
        return ", ".join(filter(None, (self._image, text)))

    @override
    def cancelled(self) -> bool:
        return self._is_cancelled()

    @contextmanager
    def within_part(self) -> Iterator[Progress]:
        """Give the progress of work within the part that has begun, which no sampler of the host's moves."""
        (start, end), name = self._part, self._words

        def show(fraction: float, text: str) -> None:
            place = start + (end - start) * fraction
            self.begin(place, ", ".join(filter(None, (name, text))), place)
            self._part = start, end

        with Clock(show, self._is_cancelled) as clock:
            yield clock

    def show_step(self, step: int, steps: int) -> None:
        """Say which of the sampler's steps it is; the host's sampler moves the bar itself."""
        environment.state().textinfo = self._with_image(f"{self._words}, step {step} of {steps}")

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """The host does not count the generations that it makes as jobs while this lasts."""
        with replaced(environment.state(), "nextjob", lambda: None):
            yield

    def _shown(self) -> float:
        """How far the bar is in the job now, 0 to 1."""
        state = environment.state()
        done = state.job_no + (state.sampling_step / state.sampling_steps if state.sampling_steps else 0.0)
        return min(1.0, done / max(_POINT, state.job_count) * self._job_count - self._job_no)


class TwoPasses:
    """The host's bar while both passes of hires fix run, each as long as it takes: the host counts half for each.

    Args:
        first: The share of the first pass in the work of both, 0 to 1.
    """

    _begun: ClassVar[TwoPasses | None] = None
    """The one whose first pass the bar shows."""

    def __init__(self, first: float) -> None:
        state, before = environment.state(), TwoPasses._begun
        if before is not None and state.job_count == before._shown:  # its first pass has failed
            _set(job_no=before._job[0], job_count=before._job[1])
        self._first = first
        self._shown: float = 0
        self._job: tuple[int, int] = (state.job_no, state.job_count)
        self.number, self.count = state.job_no // 2, state.job_count // 2
        """Images, or batches of them, that are done, and how many there are."""

    def begin(self) -> None:
        """The host samples the first pass next."""
        if self._first > 0:
            TwoPasses._begun, self._shown = self, _whole(self.count / self._first)
            _set(job_no=_whole(self.number / self._first), job_count=self._shown)

    def second(self, is_cancelled: Callable[[], bool]) -> HostBar:
        """The bar of the second pass, which the host's sampler does not move by itself."""
        before = 2 * self._first - 1  # of the job that the host counts for it
        return HostBar(is_cancelled, start=before, job=(self._job[0] + 1, self._job[1]))

    @contextmanager
    def sampled_by_host(self) -> Iterator[None]:
        """The host makes the second pass by itself while this lasts: it counts a job, then samples."""

        def next_job() -> None:
            rest = 1 - self._first
            begun = (self.number + self._first) / rest
            _set(job_no=_whole(begun), job_count=_whole(self.count / rest), sampling_step=0)

        with replaced(environment.state(), "nextjob", next_job):
            yield

    def end(self) -> None:
        """Both passes are done: leave what the host would have said, which counts the second one itself."""
        TwoPasses._begun = None
        _set(job_no=self._job[0] + 1, job_count=self._job[1], sampling_steps=_STEPS, sampling_step=_STEPS)


def _set(**values: float | str | None) -> None:
    """Change the numbers at once: a page may ask for them at any time, and would see the bar jump."""
    vars(environment.state()).update(values)


def _whole(number: float) -> float:
    """The whole number that it is but for rounding: the host's console shows both."""
    return round(number) if abs(number - round(number)) < 1e-6 else number
