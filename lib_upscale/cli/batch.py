"""Processes files one after the other: the next is read and the last is written while one is computed."""

from __future__ import annotations

import contextlib
import errno
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from lib_upscale.cli.inputs import FileJob
from lib_upscale.errors import (
    CancelledError,
    DamagedFileError,
    FileError,
    MissingArchitectureError,
    NotAnUpscalerError,
    UnknownModelError,
    UnsafeFileError,
    UpscalePlusError,
)
from lib_upscale.threads import Worker, is_thread_refused

__all__ = ["ERRORS_OF_THE_MODEL", "Interrupt", "Outcome", "Result", "Steps", "run_jobs"]

_T = TypeVar("_T")

ERRORS_OF_THE_MODEL = (
    UnknownModelError,
    DamagedFileError,
    UnsafeFileError,
    NotAnUpscalerError,
    MissingArchitectureError,
)
"""What is wrong with a model, and so for every file."""


class Outcome(str, Enum):
    """How a job ended."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """How one job ended, and why."""

    job: FileJob
    outcome: Outcome
    reason: str = ""
    error: BaseException | None = None
    seconds: float = 0.0


class Steps(Protocol[_T]):
    """The three steps of a job. Each may raise; anything but an `UpscalePlusError` is reported as unexpected."""

    def read(self, job: FileJob) -> _T:
        """Read the image. Called in another thread, while an earlier job is computed."""

    def compute(self, job: FileJob, loaded: _T) -> Callable[[], None]:
        """Compute the result, in the main thread.

        Returns:
            What writes the result; it is called in another thread.
        """


class Interrupt:
    """Handles Ctrl-C only where stopping leaves nothing half done. In force inside `with`.

    The first one stops the computation at once; a file that is being written is finished.
    """

    def __init__(self) -> None:
        self.asked = False
        self._may_raise = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        with contextlib.suppress(ValueError):  # signals can only be handled in the main thread
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        if self._may_raise:
            self._may_raise = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Where Ctrl-C may end the work: it raises KeyboardInterrupt."""
        if self.asked:
            raise KeyboardInterrupt
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False


def run_jobs(
    jobs: Sequence[FileJob],
    steps: Steps[Any],
    interrupt: Interrupt,
    on_finish: Callable[[Result], None] = lambda result: None,
    on_start: Callable[[FileJob], None] = lambda job: None,
) -> list[Result]:
    """Do all jobs; one that fails does not stop the rest.

    Args:
        jobs: What to do, in this order.
        steps: How a job is done.
        interrupt: Ctrl-C, in force.
        on_finish: Called with each result, maybe in another thread.
        on_start: Called with each job that is about to be computed.

    Returns:
        The results of the jobs that were finished. They are fewer than the jobs after Ctrl-C (`interrupt.asked`), and
        after an error that every further job would meet as well: a model that can't be loaded, a full disk.
    """
    return _Run(steps, interrupt, on_finish, on_start).all(jobs)


class _Run(Generic[_T]):
    def __init__(
        self,
        steps: Steps[_T],
        interrupt: Interrupt,
        on_finish: Callable[[Result], None],
        on_start: Callable[[FileJob], None],
    ) -> None:
        self._steps = steps
        self._interrupt = interrupt
        self._on_finish = on_finish
        self._on_start = on_start
        self._results: list[Result] = []
        self._is_hopeless = False

    def all(self, jobs: Sequence[FileJob]) -> list[Result]:
        with Worker("reader") as reader, Worker("writer") as writer:
            ahead: Future[_T] | None = None
            behind: Future[None] | None = None
            try:
                for number, job in enumerate(jobs):
                    current = ahead or reader.submit(self._steps.read, job)
                    following = jobs[number + 1] if number + 1 < len(jobs) else None
                    # One picture ahead and one behind: more would only take memory.
                    ahead = reader.submit(self._steps.read, following) if following else None
                    write = self._compute(job, current)
                    if behind is not None:
                        with self._interrupt.allowed():
                            behind.result()
                    behind = writer.submit(self._write, job, *write) if write else None
                    del write, current
                    if self._is_hopeless:
                        break
            except KeyboardInterrupt:
                self._interrupt.asked = True
            finally:
                if ahead is not None:
                    ahead.cancel()
        # Leaving the executors has waited for what was computed to be written.
        return self._results

    def _compute(self, job: FileJob, loaded: Future[_T]) -> tuple[Callable[[], None], float] | None:
        """Return what writes the result, and when the work began; None if it failed."""
        try:
            with self._interrupt.allowed():
                picture = loaded.result()
                self._on_start(job)
                start = time.monotonic()
                return self._steps.compute(job, picture), start
        except CancelledError:
            raise KeyboardInterrupt from None
        except Exception as error:
            self._fail(job, error)
            return None

    def _write(self, job: FileJob, write: Callable[[], None], start: float) -> None:
        try:
            write()
        except Exception as error:
            self._fail(job, error)
        else:
            self._finish(Result(job, Outcome.DONE, seconds=time.monotonic() - start))

    def _fail(self, job: FileJob, error: Exception) -> None:
        self._is_hopeless = self._is_hopeless or isinstance(error, ERRORS_OF_THE_MODEL) or _disk_is_full(error)
        self._finish(Result(job, Outcome.FAILED, _reason(job, error), error))

    def _finish(self, result: Result) -> None:
        self._results.append(result)
        self._on_finish(result)


def _reason(job: FileJob, error: Exception) -> str:
    if isinstance(error, FileError) and error.path.name == job.source.name:
        return str(error).removeprefix(f"{job.source.name} ")
    if isinstance(error, UpscalePlusError):
        return str(error)
    if isinstance(error, MemoryError) or is_thread_refused(error):
        return "does not fit into memory: close other programs or set a smaller target"
    return f"failed with an unexpected error ({type(error).__name__}: {error}): run it again with --debug"


def _disk_is_full(error: BaseException) -> bool:
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
