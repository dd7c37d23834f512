"""Many pictures in a row: what overlaps, what goes on after a failure, what is left after Ctrl-C."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lib_upscale.cli.batch import Interrupt, Outcome, Result, run_jobs
from lib_upscale.cli.inputs import FileJob
from lib_upscale.errors import CancelledError, DamagedFileError, OutputError, PictureError

_PATIENCE = 20.0
"""Seconds after which something that never comes is a failure. Nothing waits that long when all is well."""


def nothing(name: str) -> None:
    """What a step does unless a test says otherwise."""


@dataclass
class Upper:
    """Reads text, makes it capitals, writes it; `on_...` is called with the name of the file."""

    on_read: Callable[[str], None] = nothing
    on_make: Callable[[str], None] = nothing
    on_write: Callable[[str], None] = nothing
    begun: list[str] = field(default_factory=list)

    def read(self, job: FileJob) -> str:
        self.on_read(job.source.name)
        return job.source.read_text()

    def compute(self, job: FileJob, loaded: str) -> Callable[[], None]:
        self.begun.append(job.source.name)
        self.on_make(job.source.name)
        made = loaded.upper()

        def write() -> None:
            self.on_write(job.source.name)
            job.output.write_text(made)

        return write


@pytest.fixture
def jobs(tmp_path: Path) -> list[FileJob]:
    (tmp_path / "out").mkdir()
    for name in "abcd":
        (tmp_path / name).write_text(name)
    return [FileJob(tmp_path / name, tmp_path / "out" / name) for name in "abcd"]


def run(jobs: list[FileJob], steps: Upper, interrupt: Interrupt | None = None) -> dict[str, Result]:
    with interrupt or Interrupt() as heard:
        return {result.job.source.name: result for result in run_jobs(jobs, steps, heard)}


def written(jobs: list[FileJob]) -> dict[str, str]:
    return {job.source.name: job.output.read_text() for job in jobs if job.output.exists()}


def raising(error: Exception, at: str) -> Callable[[str], None]:
    def maybe(name: str) -> None:
        if name == at:
            raise error

    return maybe


def test_every_picture_goes_its_way(jobs: list[FileJob]) -> None:
    results = run(jobs, Upper())
    assert [result.outcome for result in results.values()] == [Outcome.DONE] * 4
    assert written(jobs) == {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_the_next_is_read_and_the_last_is_written_meanwhile(jobs: list[FileJob]) -> None:
    reached = {name: threading.Event() for name in ("b read", "b made")}

    def wait_for(event: str) -> None:
        assert reached[event].wait(_PATIENCE), f"{event} never happened meanwhile"

    steps = Upper(
        on_read=lambda name: reached["b read"].set() if name == "b" else None,
        on_make=lambda name: wait_for("b read") if name == "a" else reached["b made"].set() if name == "b" else None,
        on_write=lambda name: wait_for("b made") if name == "a" else None,
    )
    assert {result.outcome for result in run(jobs, steps).values()} == {Outcome.DONE}


def test_no_more_than_one_is_read_ahead(jobs: list[FileJob]) -> None:
    read: list[str] = []
    ahead: list[list[str]] = []
    steps = Upper(on_read=read.append, on_make=lambda name: ahead.append(list(read)))
    run(jobs, steps)
    assert all(len(names) <= number + 2 for number, names in enumerate(ahead))


@pytest.mark.parametrize("step", ["on_read", "on_make", "on_write"])
@pytest.mark.parametrize("error", [PictureError("b", "is damaged"), RuntimeError("a flaw"), MemoryError()])
def test_a_bad_one_is_reported_and_the_rest_goes_on(jobs: list[FileJob], step: str, error: Exception) -> None:
    results = run(jobs, Upper(**{step: raising(error, "b")}))
    assert written(jobs) == {"a": "A", "c": "C", "d": "D"}
    assert results["b"].outcome is Outcome.FAILED
    assert results["b"].error is error
    assert results["b"].reason


def test_a_file_that_vanishes_is_one_bad_one(jobs: list[FileJob]) -> None:
    jobs[1].source.unlink()
    results = run(jobs, Upper())
    assert results["b"].outcome is Outcome.FAILED
    assert set(written(jobs)) == {"a", "c", "d"}


def _full(name: str) -> None:
    error = OutputError(name, "can't be written, the disk is full")
    raise error from OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "steps",
    [Upper(on_make=raising(DamagedFileError("model.pth", "is truncated"), "b")), Upper(on_make=_full)],
    ids=["a model that can't be loaded", "a full disk"],
)
def test_what_every_further_one_would_meet_ends_the_run(jobs: list[FileJob], steps: Upper) -> None:
    results = run(jobs, steps)
    assert "d" not in results
    assert [result.outcome for result in results.values()].count(Outcome.FAILED) == 1


class TestCtrlC:
    def test_it_ends_the_work_at_once_and_keeps_what_was_made(self, jobs: list[FileJob]) -> None:
        interrupt = Interrupt()
        steps = Upper(on_make=lambda name: signal.raise_signal(signal.SIGINT) if name == "c" else None)
        results = run(jobs, steps, interrupt)
        assert interrupt.asked
        assert written(jobs) == {"a": "A", "b": "B"}
        assert set(results) == {"a", "b"}
        assert steps.begun == ["a", "b", "c"]

    def test_while_a_result_is_written_it_is_written_to_its_end(self, jobs: list[FileJob]) -> None:
        writing, heard = threading.Event(), threading.Event()

        def write(name: str) -> None:
            if name == "a":
                writing.set()
                assert heard.wait(_PATIENCE)

        def make(name: str) -> None:
            if name == "b":
                assert writing.wait(_PATIENCE)
                heard.set()
                signal.raise_signal(signal.SIGINT)

        assert set(run(jobs, Upper(on_make=make, on_write=write))) == {"a"}
        assert written(jobs) == {"a": "A"}

    def test_again_and_again(self, jobs: list[FileJob]) -> None:
        def interrupted(name: str) -> None:
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)

        interrupt = Interrupt()
        assert run(jobs, Upper(on_make=interrupted), interrupt) == {}
        assert interrupt.asked

    def test_cancelling_by_progress_is_the_same(self, jobs: list[FileJob]) -> None:
        interrupt = Interrupt()
        results = run(jobs, Upper(on_make=raising(CancelledError(), "b")), interrupt)
        assert interrupt.asked
        assert set(results) == {"a"}

    def test_afterwards_it_is_what_it_was(self, jobs: list[FileJob]) -> None:
        before = signal.getsignal(signal.SIGINT)
        run(jobs, Upper(on_make=lambda name: signal.raise_signal(signal.SIGINT)))
        assert signal.getsignal(signal.SIGINT) is before
