"""Loads and measures for a plan in a thread of its own, so that who asked for it need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib_upscale.errors import CancelledError
from lib_upscale.models.model_files import Fingerprint, file_fingerprint
from lib_upscale.progress import Callback, Progress
from lib_upscale.upscaling.plan import UpscalePlan

__all__ = ["PlanWorker"]

_Complete = Callable[[UpscalePlan, Progress], UpscalePlan]


class PlanWorker:
    """Completes one plan at a time: the last one that was asked for.

    Args:
        complete: Completes a plan, and stops when its progress says so.
        must_stop: Whether the device is needed for something else.
    """

    def __init__(self, complete: _Complete, must_stop: Callable[[], bool]) -> None:
        self._complete, self._must_stop = complete, must_stop
        self._lock = threading.Lock()
        self._job: _Job | None = None

    def forget(self) -> None:
        """End the work, and know no result of it any more."""
        with self._lock:
            if self._job is not None:
                self._job.stopped.set()
            self._job = None

    def ask(self, plan: UpscalePlan, patience: float) -> UpscalePlan | None:
        """Return the plan completed; None where that takes longer. It goes on, and the same question finds it later.

        Args:
            plan: The plan as far as it is known. One that is asked for now ends the work on any other.
            patience: Seconds to wait.

        Raises:
            UpscalePlusError: What prevents it.
        """
        with self._lock:
            files = {path: file_fingerprint(path) for path in plan.model_paths}
            if self._job is None or (self._job.plan, self._job.files) != (plan, files):
                if self._job is not None:
                    self._job.stopped.set()
                self._job = _Job(plan, files)
                threading.Thread(target=self._run, args=(self._job,), daemon=True).start()
            job = self._job
        if not job.done.wait(patience):
            return None
        if job.error is None:
            return job.result
        with self._lock:
            if self._job is job:
                self._job = None  # asked again, it is tried again: the person may have mended it
        if isinstance(job.error, CancelledError):
            return None
        raise job.error

    def _run(self, job: _Job) -> None:
        progress = Callback(lambda *_: None, lambda: job.stopped.is_set() or self._must_stop())
        try:
            job.result = self._complete(job.plan, progress)
        except Exception as error:  # raised where it is asked for
            job.error = error
        finally:
            job.done.set()


@dataclass
class _Job:
    """The work on one plan."""

    plan: UpscalePlan
    files: Mapping[Path, Fingerprint | None]
    """The models' files, as they were."""
    stopped: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    result: UpscalePlan | None = None
    error: Exception | None = None
