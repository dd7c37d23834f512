"""How long models stay loaded: for all images of a batch, and no longer than the next generation allows."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.webui.upscalers import engine as engine_module
from lib_upscale.webui.upscalers import hires_check, settings_page
from lib_upscale.webui.upscalers.engine import Engine


class Watched(Engine):
    """Counts how often it lets go of its models."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.released = 0

    def _release(self) -> None:
        self.released += 1


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(settings_page, "keeps_models", lambda: False)
    monkeypatch.setattr(engine_module, "_IDLE", 0.05)
    return Watched()


@pytest.mark.parametrize(
    ("p", "resized"),
    [
        (SimpleNamespace(batch_size=3), 3),
        (SimpleNamespace(batch_size=3, init_images=[None]), 1),
        (SimpleNamespace(batch_size=1, init_images=[None] * 2), 2),
    ],
)
def test_models_stay_for_all_images_of_a_batch(
    p: Any, resized: int, engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_IDLE", 60.0)
    monkeypatch.setattr(hires_check, "engine", engine)
    hires_check.begin_generation(p)
    for batch in (1, 2):
        for _ in range(resized - 1):
            engine.after_image("resize")
        assert engine.released == batch - 1
        engine.after_image("resize")
        assert engine.released == batch, "the memory is the sampler's now"
    engine.forget()


def test_a_generation_does_not_wait_for_a_plan_to_be_forgotten(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_IDLE", 60.0)
    engine.release_soon()
    assert engine.released == 0
    engine.begin_generation(resize=1)
    assert engine.released == 1
    engine.begin_generation(resize=1)
    assert engine.released == 1


def test_what_nobody_uses_is_released_and_what_is_used_is_not(engine: Watched) -> None:
    engine._working = 1
    engine.release_soon()
    time.sleep(0.2)
    assert engine.released == 0
    engine._working = 0
    deadline = time.monotonic() + 5
    while not engine.released and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.released == 1


def test_outside_of_a_generation_models_go_after_each_image(engine: Watched) -> None:
    engine.after_image("resize")
    assert engine.released == 1
