"""Interrupt and Skip while an image is made of tiles, pressed as on the host's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lib_upscale.webui.host import environment
from lib_upscale.webui.tiled_sampling.stops import Stops

TILES, STEPS = 9, 4


class Options:
    """The host's settings: those that were never saved are found by `__getattr__`."""

    def __init__(self) -> None:
        vars(self)["data"] = {"interrupt_after_current": True}

    def __getattr__(self, name: str) -> Any:
        return self.data[name]


class State:
    def __init__(self, images: int) -> None:
        self.interrupted = self.skipped = self.stopping_generation = False
        self.job_count, self.job_no, self.time_start = images, 0, 1.0


class Host:
    """The parts of AUTOMATIC1111 1.10 that a press goes through, and its loop around one generation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, images: int) -> None:
        self.state, self.opts = State(images), Options()
        self.notices = 0
        monkeypatch.setattr(environment, "state", lambda: self.state)
        monkeypatch.setattr(environment, "opts", lambda: self.opts)

    def press(self) -> None:
        """`interrupt_function` of `modules/ui_toprow.py`."""
        state = self.state
        if not state.stopping_generation and state.job_count > 1 and self.opts.interrupt_after_current:
            state.stopping_generation = True
            self.notices += 1
        else:
            state.interrupted = True

    def generate(self, stops: Stops, step: Callable[[], None]) -> bool:
        """`process_images_inner` for a tile; whether it returned one."""
        stops.begin_tile()  # in place of its init
        self.state.skipped = False
        if self.state.interrupted or self.state.stopping_generation:
            return False
        stops.renew()  # as sampling begins
        for _ in range(STEPS):
            if self.state.interrupted or self.state.skipped:
                break
            step()
        return True


class Run:
    """An image by tiles; `presses` are the sampler's steps at which the button is pressed."""

    def __init__(self, host: Host, presses: tuple[int, ...]) -> None:
        self.host, self.presses, self.steps, self.tiles = host, presses, 0, 0
        self.stops = Stops()
        self.is_single = host.state.job_count == 1

    def image(self) -> None:
        with self.stops.image(is_single=self.is_single):
            for _ in range(TILES):
                if self.stops.requested() or not self.host.generate(self.stops, self._step):
                    break
                self.tiles += not self.stops.requested()

    def _step(self) -> None:
        self.steps += 1
        if self.steps in self.presses:
            self.host.press()


def run(monkeypatch: pytest.MonkeyPatch, images: int, *presses: int) -> tuple[Run, Host]:
    host = Host(monkeypatch, images)
    run = Run(host, presses)
    run.image()
    return run, host


def test_the_first_press_stops_a_single_image_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done, host = run(monkeypatch, 1, 6)
    assert (done.steps, done.tiles) == (6, 1)
    assert host.notices == 0, "it does not say that the image is going to be finished"
    assert host.opts.interrupt_after_current, "the setting is as before"
    assert vars(host.opts) == {"data": {"interrupt_after_current": True}}


def test_the_first_press_finishes_one_of_several_images(monkeypatch: pytest.MonkeyPatch) -> None:
    done, host = run(monkeypatch, 2, 6)
    assert done.tiles == TILES
    assert not host.state.interrupted
    assert host.state.stopping_generation, "the host ends before the next one"


@pytest.mark.parametrize("second", [7, 9, 30])
def test_the_second_press_stops_one_of_several_images_at_once(monkeypatch: pytest.MonkeyPatch, second: int) -> None:
    done, host = run(monkeypatch, 2, 6, second)
    assert done.steps == second
    assert host.notices == 1


def test_a_second_press_while_the_first_is_withheld_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, 20)
    stops = Stops()
    with stops.image(is_single=False):
        host.press()
        assert not stops.requested()
        stops.begin_tile()
        host.press()
        assert stops.requested()
    assert host.state.interrupted


def test_a_press_in_the_first_pass_of_hires_fix_finishes_the_image_as_the_host_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(monkeypatch, 2)
    host.press()
    stops = Stops()
    with stops.image(is_single=True):
        assert not stops.requested()
        stops.begin_tile()
        assert not host.state.stopping_generation
        stops.renew()
        assert not stops.requested()
        host.press()
        assert stops.requested()


def test_a_skip_lasts_for_the_image_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, 2)
    stops = Stops()
    with stops.image(is_single=False):
        host.state.skipped = True
        assert stops.requested()
        host.state.skipped = False  # as the host does when a generation begins
        stops.renew()
        assert host.state.skipped
    host.state.skipped = False
    with stops.image(is_single=False):
        assert not stops.requested()
