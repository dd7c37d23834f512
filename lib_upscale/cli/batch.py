"""Many pictures, one after the other: the next is read and the last is written while this one is computed."""

from __future__ import annotations

import contextlib
import errno
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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

__all__ = ["Interrupt", "Outcome", "Result", "Steps", "run_jobs"]

_T = TypeVar("_T")

_OF_THE_MODEL = (
    UnknownModelError,
    DamagedFileError,
    UnsafeFileError,
    NotAnUpscalerError,
    MissingArchitectureError,
)


class Outcome(str, Enum):
    """What became of a picture."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """What became of one job, and why."""

    job: FileJob
    outcome: Outcome
    reason: str = ""
    error: BaseException | None = None
    seconds: float = 0.0


class Steps(Protocol[_T]):
    """The three steps of a job. Each may raise; what is no `UpscalePlusError` is reported as unforeseen."""

    def read(self, job: FileJob) -> _T:
        """Read the picture. Called in another thread, while an earlier job is computed."""

    def make(self, job: FileJob, loaded: _T) -> Callable[[], None]:
        """Compute the result, in the main thread; what is returned writes it, in another thread."""


class Interrupt:
    """Ctrl-C, heard only where stopping leaves nothing half done. In force inside `with`.

    The first one ends the work at hand at once; whatever is being written then is written to its end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._may_raise = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        with contextlib.suppress(ValueError):  # not the main thread: whoever runs this there hears Ctrl-C himself
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _heard(self, _: int, __: FrameType | None) -> None:
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
    settled: Callable[[Result], None] = lambda result: None,
    begun: Callable[[FileJob], None] = lambda job: None,
) -> list[Result]:
    """Do all jobs; a bad one is a failed result and the rest goes on. Returns what became of each that was finished.

    Fewer results than jobs come back after Ctrl-C (`interrupt.asked`), and after an error that every further job would
    meet as well: a model that can't be loaded, a full disk. `settled` is told of each result, maybe in another thread,
    `begun` of each job that is about to be computed.
    """
    return _Run(steps, interrupt, settled, begun).all(jobs)


class _Run(Generic[_T]):
    def __init__(
        self,
        steps: Steps[_T],
        interrupt: Interrupt,
        settled: Callable[[Result], None],
        begun: Callable[[FileJob], None],
    ) -> None:
        self._steps = steps
        self._interrupt = interrupt
        self._tell = settled
        self._begun = begun
        self._results: list[Result] = []
        self._hopeless = False

    def all(self, jobs: Sequence[FileJob]) -> list[Result]:
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            ahead: Future[_T] | None = None
            behind: Future[None] | None = None
            try:
                for number, job in enumerate(jobs):
                    current = ahead or reader.submit(self._steps.read, job)
                    following = jobs[number + 1] if number + 1 < len(jobs) else None
                    # One picture ahead and one behind: more would only take memory.
                    ahead = reader.submit(self._steps.read, following) if following else None
                    write = self._computed(job, current)
                    if behind is not None:
                        with self._interrupt.allowed():
                            behind.result()
                    behind = writer.submit(self._written, job, *write) if write else None
                    del write, current
                    if self._hopeless:
                        break
            except KeyboardInterrupt:
                self._interrupt.asked = True
            finally:
                if ahead is not None:
                    ahead.cancel()
        # Leaving the executors has waited for what was computed to be written.
        return self._results

    def _computed(self, job: FileJob, loaded: Future[_T]) -> tuple[Callable[[], None], float] | None:
        """What writes the result, and when the work began; None if it failed."""
        try:
            with self._interrupt.allowed():
                picture = loaded.result()
                self._begun(job)
                begun = time.monotonic()
                return self._steps.make(job, picture), begun
        except CancelledError:
            raise KeyboardInterrupt from None
        except Exception as error:
            self._failed(job, error)
            return None

    def _written(self, job: FileJob, write: Callable[[], None], begun: float) -> None:
        try:
            write()
        except Exception as error:
            self._failed(job, error)
        else:
            self._settle(Result(job, Outcome.DONE, seconds=time.monotonic() - begun))

    def _failed(self, job: FileJob, error: Exception) -> None:
        self._hopeless = self._hopeless or isinstance(error, _OF_THE_MODEL) or _disk_is_full(error)
        self._settle(Result(job, Outcome.FAILED, _reason(job, error), error))

    def _settle(self, result: Result) -> None:
        self._results.append(result)
        self._tell(result)


def _reason(job: FileJob, error: Exception) -> str:
    if isinstance(error, FileError) and error.path.name == job.source.name:
        return str(error).removeprefix(f"{job.source.name} ")
    if isinstance(error, UpscalePlusError):
        return str(error)
    if isinstance(error, MemoryError):
        return "does not fit into memory: close other programs or set a smaller target"
    return f"failed in an unforeseen way ({type(error).__name__}: {error}): run it again with --debug"


def _disk_is_full(error: BaseException) -> bool:
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
