"""The host's jobs: whether one is running, marking one of ours, its progress bar, and its stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.protocols import HostProcessing

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "StateProgress",
    "api_job",
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
    "write_params",
]


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
    try:
        yield
    finally:
        _in_extras.active = False


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


def write_params(p: HostProcessing) -> None:
    """Write `params.txt` again, which the host wrote before the parameters `p` were changed."""
    from modules.processing import Processed

    if not environment.command_line_options().get("no_prompt_history"):
        with contextlib.suppress(OSError):
            (environment.data_path() / "params.txt").write_text(Processed(p, []).infotext(p, 0), encoding="utf8")


class StateProgress:
    """A `Progress` that moves the host's bar, in a thousand steps of the image that is worked on."""

    steps = 1000

    def __init__(self, *, moves_bar: bool = True) -> None:
        self._moves_bar = moves_bar

    def report(self, fraction: float, text: str = "") -> None:
        """Move the bar and say where we are."""
        state = environment.state()
        if self._moves_bar:
            state.sampling_steps = self.steps
            state.sampling_step = int(self.steps * min(1.0, max(0.0, fraction)))
        if text:
            state.textinfo = text

    def cancelled(self) -> bool:
        """Whether Interrupt or Skip was pressed."""
        return stop_requested()


@contextmanager
def image_progress(*, counted_already: bool = False, moves_bar: bool = True) -> Iterator[StateProgress]:
    """Show an image's tiles on the host's bar.

    Args:
        counted_already: The job counts an image as done before it begins and would show 100% at once for a single
            one: the count is taken back until the image is done.
        moves_bar: False in a generation, where the bar is the sampler's and stays so.
    """
    state = environment.state()
    if not moves_bar:
        text = state.textinfo
        try:
            yield StateProgress(moves_bar=False)
        finally:
            state.textinfo = text
        return
    before = (state.sampling_step, state.sampling_steps, state.textinfo)
    if counted_already:
        state.job_no -= 1
    try:
        state.sampling_step = 0
        yield StateProgress()
    finally:
        if counted_already:
            state.job_no += 1
        state.sampling_step, state.sampling_steps, state.textinfo = before
