"""The host's progress bar as we move it: never back, whatever host code runs in between."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.progress import Span
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.jobs import HostBar, TwoPasses


class State(SimpleNamespace):
    def nextjob(self) -> None:
        self.job_no += 1
        self.sampling_step = 0

    def shown(self) -> float:
        """As `modules/progress.py` of AUTOMATIC1111 counts."""
        part = self.sampling_step / self.sampling_steps if self.sampling_steps else 0.0
        return min(1.0, (self.job_no + part) / self.job_count)


def new_state(images: int) -> Any:
    return State(job_no=0, job_count=images, sampling_step=0, sampling_steps=0, textinfo=None)


@given(
    st.integers(1, 3),
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8),
    st.integers(1, 6),
)
def test_tiles_of_any_length_move_it_from_0_to_1(images: int, lengths: list[float], steps: int) -> None:
    state, seen = new_state(images), [0.0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(environment, "state", lambda: state)
        for number in range(images):
            with HostBar(lambda: False, f"image {number + 1} of {images}") as bar, bar.uncounted():
                done, total = 0.0, sum(lengths)
                for length in lengths:
                    bar.begin(done / total, "tile", min(1.0, (done + length) / total))
                    seen.append(state.shown())
                    state.sampling_steps, state.sampling_step = steps, 0  # the host's sampler
                    for step in range(steps):
                        state.sampling_step = step
                        seen.append(state.shown())
                    state.nextjob()  # the host's, after each of its generations
                    done += length
            seen.append(state.shown())
            state.nextjob()
            seen.append(state.shown())
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(seen))
    assert seen[-1] == pytest.approx(1.0)
    assert (state.job_no, state.job_count) == (images, images)


def test_a_failed_batch_that_is_tried_again_does_not_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state(1)
    monkeypatch.setattr(environment, "state", lambda: state)
    with HostBar(lambda: False) as bar:
        bar.begin(0.0, "tile 1 of 2", 1.0)
        state.sampling_steps, state.sampling_step = 4, 3
        before = state.shown()
        bar.begin(0.0, "tile 1 of 2", 0.5)
        assert state.shown() >= before - 1e-9


def test_outside_of_a_job_the_host_is_not_left_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state(0)
    monkeypatch.setattr(environment, "state", lambda: state)
    with HostBar(lambda: False) as bar:
        bar.begin(0.0, "tile 1 of 2", 0.5)
    assert state.job_count == 0


def sample(state: Any, steps: int, seen: list[float]) -> None:
    """As the host's sampler counts."""
    state.sampling_steps, state.sampling_step = steps, 0
    for step in range(steps + 1):
        state.sampling_step = step
        seen.append(state.shown())


@given(st.integers(1, 3), st.floats(0.02, 0.98), st.booleans(), st.integers(1, 3), st.integers(1, 5))
def test_both_passes_of_hires_fix_take_of_the_bar_what_they_cost(
    images: int, first: float, is_by_host: bool, together: int, steps: int
) -> None:
    state, seen = new_state(2 * images), [0.0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(environment, "state", lambda: state)
        for number in range(images):
            passes = TwoPasses(first)
            passes.begin()
            sample(state, steps, seen)
            assert seen[-1] == pytest.approx((number + first) / images)
            assert (passes.number, passes.count) == (number, images)
            if is_by_host:
                with passes.sampled_by_host():
                    state.nextjob()
                    seen.append(state.shown())
                    sample(state, steps, seen)
            else:
                with passes.second(lambda: False) as bar, bar.uncounted():
                    for part in range(together):
                        inner = Span(bar, part / together, (part + 1) / together)
                        for tile in range(3):
                            inner.begin(tile / 3, "tile", (tile + 1) / 3)
                            seen.append(state.shown())
                            sample(state, steps, seen)
                            state.nextjob()
            passes.end()
            seen.append(state.shown())
            state.nextjob()
            seen.append(state.shown())
            assert seen[-1] == pytest.approx((number + 1) / images)
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(seen))
    assert (state.job_no, state.job_count) == (2 * images, 2 * images)


def test_a_first_pass_that_failed_does_not_disturb_the_next_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cell of an X/Y/Z plot, which goes on."""
    state = new_state(6)
    monkeypatch.setattr(environment, "state", lambda: state)
    TwoPasses(0.1).begin()
    assert state.job_count == 30
    passes = TwoPasses(0.1)
    assert (passes.number, passes.count) == (0, 3)
    passes.begin()
    passes.end()
    assert (state.job_no, state.job_count) == (1, 6)


def test_without_a_first_pass_the_second_one_has_all_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    state, seen = new_state(2), [0.0]
    monkeypatch.setattr(environment, "state", lambda: state)
    passes = TwoPasses(0.0)
    passes.begin()
    with passes.sampled_by_host():
        state.nextjob()
        assert state.shown() == 0
        sample(state, 4, seen)
    assert seen[1:] == [0, 0.25, 0.5, 0.75, 1]
