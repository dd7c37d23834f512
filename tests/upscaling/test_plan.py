"""A plan is made once and carried out as it is: what is loaded and measured for it, and what is heard meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Size
from lib_upscale.models.library import Models
from lib_upscale.models.runtime import model_cache
from lib_upscale.progress import Callback
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.plan import UpscalePlan, plan_upscale, recall_plan
from lib_upscale.upscaling.run import plan_and_upscale, upscale
from tests.helpers import compact, models_in, picture, write

X2 = UpscaleSettings(model="x2")
THREE = UpscaleSettings(model="x2", before=("clean",), after=("sharp",))


@pytest.fixture
def models(tmp_path: Path) -> Models:
    write(tmp_path / "x2.safetensors", compact(2))
    for name in ("clean", "sharp"):
        write(tmp_path / f"{name}.safetensors", compact(1))
    return models_in(tmp_path, max_models=2)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the networks that were read from disk."""
    names: list[str] = []
    original = model_cache.load_network

    def load_network(path: Path) -> Any:
        names.append(path.stem)
        return original(path)

    monkeypatch.setattr(model_cache, "load_network", load_network)
    return names


def test_every_network_is_loaded_once_and_none_for_the_second_image(models: Models, loads: list[str]) -> None:
    plan_and_upscale(picture(40, 30), THREE, models)
    assert sorted(loads) == ["clean", "sharp", "x2"]
    loads.clear()
    plan_and_upscale(picture(30, 40, seed=1), THREE, models)
    assert loads == []


def test_a_plan_is_recalled_without_loading_what_was_loaded_once(models: Models, loads: list[str]) -> None:
    chosen = THREE.changed(tile=64, scale=3)
    unknown = plan_upscale(Size(150, 110), chosen, models, load=False)
    assert recall_plan(unknown, models).tiles is None
    assert loads == []
    loaded = plan_upscale(Size(150, 110), chosen, models)
    loads.clear()
    later = Models(models.catalog, model_cache.ModelCache("cpu", measurements=models.cache.measurements))
    assert recall_plan(unknown, later) == loaded
    assert loads == []


def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_is_known(models: Models, tmp_path: Path) -> None:
    plan = plan_upscale(Size(30, 20), X2, models, load=False)
    plan_upscale(Size(30, 20), X2, models)
    assert recall_plan(plan, models).complete
    write(tmp_path / "x2.safetensors", compact(2, convolutions=3))
    assert not recall_plan(plan, models).complete


def test_every_network_is_loaded_once_for_all_frames(models: Models, loads: list[str]) -> None:
    plan = plan_upscale(Size(40, 30), THREE, models)
    for seed in range(3):
        plan = upscale(picture(40, 30, seed=seed), plan, models).plan
    assert sorted(loads) == ["clean", "sharp", "x2"]


def test_another_network_brings_the_cache_back_to_its_limit(models: Models, loads: list[str]) -> None:
    folder = models.find("x2").path.parent
    write(folder / "other.safetensors", compact(4))
    models.catalog.refresh()
    plan_and_upscale(picture(40, 30), THREE, models)
    assert len(models.cache) == 3
    plan_and_upscale(picture(40, 30), UpscaleSettings(model="other"), models)
    assert len(models.cache) == 2
    assert models.cache.loaded(models.find("sharp").identity) is not None, "the one used last stays"


def test_networks_that_do_not_fit_together_are_loaded_again(models: Models, loads: list[str]) -> None:
    small = Models(models.catalog, model_cache.ModelCache("cpu", max_bytes=1))
    result = plan_and_upscale(picture(40, 30), THREE, small)
    assert result.picture.size == Size(80, 60)
    assert len(small.cache) == 1


def test_memory_that_runs_out_while_loading_takes_what_is_not_in_use_first(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    x2, clean, sharp = (models.find(name) for name in ("x2", "clean", "sharp"))
    models.cache.get(x2.identity)
    models.cache.get(clean.identity)
    full, original = [True], model_cache.Model.to

    def to(self: model_cache.Model, *arguments: Any) -> None:
        if full.pop() if full else False:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        original(self, *arguments)

    monkeypatch.setattr(model_cache.Model, "to", to)
    monkeypatch.setattr(models.cache, "_max_models", 3)
    with models.cache.holding([clean.path, sharp.path]):
        models.cache.get(sharp.identity)
    assert models.cache.loaded(x2.identity) is None
    assert models.cache.loaded(clean.identity) is not None


def test_a_plan_without_loading_is_completed_once(models: Models, loads: list[str]) -> None:
    plan = plan_upscale(Size(150, 110), X2.changed(tile=64), models, load=False)
    assert loads == []
    assert plan.tiles is None
    assert not plan.complete
    texts: list[str] = []
    result = upscale(picture(150, 110), plan, models, Callback(lambda _, text: texts.append(text)))
    assert result.plan.complete
    again = plan_upscale(Size(150, 110), X2.changed(tile=64), models)
    assert [network_pass.tiling for network_pass in result.plan.passes] == [
        network_pass.tiling for network_pass in again.passes
    ]
    assert any(text.startswith("measuring the receptive field of x2") for text in texts)


def test_a_complete_plan_is_run_without_choosing_tiles_again(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_upscale(Size(150, 110), X2.changed(tile=64), models)
    monkeypatch.setattr("lib_upscale.upscaling.plan.choose_tiling", None)
    assert upscale(picture(150, 110), plan, models).plan == plan


def test_the_result_says_which_tile_worked_and_the_next_image_begins_with_it(models: Models) -> None:
    model = models.cache.get(models.find("x2").identity)
    usual, sides = model._run, []

    def short_of_memory(batch: torch.Tensor) -> torch.Tensor:
        sides.append(max(batch.shape[2:]))
        if sides[-1] > 100:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return usual(batch)

    plan = plan_upscale(Size(150, 110), X2, models)
    model._run = short_of_memory
    result = upscale(picture(150, 110), plan, models)
    assert plan.tiles == 1
    assert result.plan.tiles is not None
    assert result.plan.tiles > 1
    sides.clear()
    again = upscale(picture(150, 110), result.plan, models)
    assert max(sides) <= 100
    assert again.plan == result.plan


def test_a_plan_for_another_size_is_refused(models: Models) -> None:
    plan = plan_upscale(Size(30, 20), X2, models)
    with pytest.raises(ValueError, match="for an image of 30x20, not of 20x30"):
        upscale(picture(20, 30), plan, models)


class TestMeasuring:
    """The receptive field is measured for the first plan that depends on it, which takes up to ten seconds."""

    @pytest.fixture
    def slow(self, tmp_path: Path) -> Models:
        """A network of which every run takes more than a second, and no layer takes long."""
        write(tmp_path / "x2.safetensors", compact(2, convolutions=12))
        models = models_in(tmp_path)
        network = models.cache.get(models.find("x2").identity)._descriptor.model
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(lambda *_: time.sleep(0.06))
        return models

    @staticmethod
    def _plan(models: Models, progress: Callback) -> UpscalePlan:
        return plan_upscale(Size(900, 900), X2.changed(tile=128), models, progress=progress)

    @staticmethod
    def _run(models: Models, progress: Callback) -> Any:
        return plan_and_upscale(picture(900, 900), X2.changed(tile=128), models, progress)

    @pytest.mark.parametrize("work", ["_plan", "_run"])
    def test_it_is_said_and_interrupt_is_heard_within_a_second(self, slow: Models, work: str) -> None:
        begun: list[float] = []

        def report(_: float, text: str) -> None:
            if text == "measuring the receptive field of x2.safetensors, once":
                begun.append(time.monotonic())

        def interrupted() -> bool:
            return bool(begun) and time.monotonic() > begun[0] + 0.2

        with pytest.raises(CancelledError):
            getattr(self, work)(slow, Callback(report, interrupted))
        assert time.monotonic() - begun[0] - 0.2 < 1.0

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
    def test_ctrl_c_is_heard_within_a_second(self, slow: Models) -> None:
        pressed: list[float] = []

        def press() -> None:
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.2, press)
        with pytest.raises(KeyboardInterrupt):
            self._plan(slow, Callback(lambda _, text: timer.start() if "measuring" in text else None))
        assert time.monotonic() - pressed[0] < 1.0
