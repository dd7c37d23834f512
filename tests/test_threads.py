"""Threads that the system refuses, and memory that runs out on one of several: fewer, then none, then a sentence."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lib_upscale import threads
from lib_upscale.cli import batch
from lib_upscale.cli.inputs import FileJob
from lib_upscale.errors import OutOfMemoryError
from lib_upscale.image.io import read_picture, write_picture
from lib_upscale.image.io.png import writer as png_writer
from lib_upscale.image.io.tiff import writer as tiff_writer
from lib_upscale.image.picture import Picture
from lib_upscale.progress import Clock
from lib_upscale.threads import map_in_order
from tests.image.strategies import noise, same_pixels

Refuse = Callable[[int], list[threading.Thread]]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let only some more threads start; gives the list of those."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limit(most: int) -> list[threading.Thread]:
        def maybe(thread: threading.Thread) -> None:
            if len(started) >= most:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", maybe)
        monkeypatch.setattr(threads.os, "cpu_count", lambda: 4)
        return started

    return limit


@pytest.mark.parametrize("most", [0, 1, 2, 4])
def test_fewer_threads_give_the_same(refuse: Refuse, most: int) -> None:
    started = refuse(most)
    assert list(map_in_order(lambda number: number**2, range(50))) == [number**2 for number in range(50)]
    assert len(started) == most


def test_a_bar_without_a_thread_moves_with_what_is_reported(refuse: Refuse) -> None:
    refuse(0)
    seen: list[float] = []
    with Clock(lambda fraction, _: seen.append(fraction)) as clock:
        clock.report(0.5, "tile 1 of 2")
    assert seen == [0.5]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("most", [0, 1, 4])
def test_files_are_written_with_fewer_threads(refuse: Refuse, most: int, suffix: str, tmp_path: Path) -> None:
    refuse(most)
    picture = Picture(noise((900, 1500, 3), 8, 1))
    write_picture(picture, tmp_path / f"a{suffix}")
    assert same_pixels(read_picture(tmp_path / f"a{suffix}"), picture)


def test_what_does_not_fit_beside_others_is_done_alone() -> None:
    """Each item needs half of the memory: two at a time are one too many."""
    lock, busy = threading.Lock(), threading.Barrier(2)
    in_use = 0

    def work(number: int) -> int:
        nonlocal in_use
        with lock:
            in_use += 1
            too_many = in_use > 1
        if number < 2 and threading.current_thread() is not threading.main_thread():
            busy.wait(20)
        with lock:
            in_use -= 1
        if too_many:
            raise MemoryError
        return number

    if (threads.os.cpu_count() or 1) < 2:
        pytest.skip("one thread at a time anyway")
    assert list(map_in_order(work, range(9))) == list(range(9))


@pytest.mark.parametrize(("module", "suffix"), [(png_writer, ".png"), (tiff_writer, ".tif")])
def test_what_fits_in_no_way_is_said(
    module: object, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_compress", fail)
    with pytest.raises(OutOfMemoryError, match=f"Memory ran out while a{suffix} was written"):
        write_picture(Picture(noise((900, 1500, 3), 8, 1)), tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("most", [0, 1])
def test_a_batch_goes_on_without_threads(refuse: Refuse, most: int, tmp_path: Path) -> None:
    refuse(most)
    written = io.StringIO()

    class Steps:
        def read(self, job: FileJob) -> str:
            if job.source.name == "2":
                raise ValueError("a flaw")
            return job.source.name

        def compute(self, job: FileJob, loaded: str) -> Callable[[], None]:
            return lambda: written.write(loaded) and None

    jobs = [FileJob(tmp_path / str(number), tmp_path / "out" / str(number)) for number in range(5)]
    with batch.Interrupt() as interrupt:
        results = batch.run_jobs(jobs, Steps(), interrupt)
    assert written.getvalue() == "0134"
    assert [result.outcome for result in results].count(batch.Outcome.FAILED) == 1


def test_a_result_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lib_upscale.settings.upscale import UpscaleSettings
    from lib_upscale.upscaling import run
    from tests.helpers import compact, models_in, write

    def fail(*_: object) -> None:
        raise MemoryError

    write(tmp_path / "2x-tiny.safetensors", compact(2))
    monkeypatch.setattr(run, "run_pass", fail)
    with pytest.raises(OutOfMemoryError, match="The result of 16x16 pixels does not fit into memory"):
        run.plan_and_upscale(
            Picture(np.zeros((8, 8, 3), np.uint8)), UpscaleSettings(model="2x-tiny"), models_in(tmp_path)
        )
