"""How a picture is cut for a network: spandrel's word on tiling is heeded, what is measured is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib_upscale.errors import OutOfMemoryError
from lib_upscale.image.geometry import Size
from lib_upscale.models.identity import TilingSupport as Word
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.model import Model
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling import network_pass
from lib_upscale.upscaling.network_pass import choose_tiling, run_pass, size_constraint_of
from lib_upscale.upscaling.plan import plan_upscale
from tests.helpers import compact, models_in, picture, write
from tests.models.networks import save, weights

AUTO = UpscaleSettings(model="net")


def owned(folder: Path) -> tuple[Models, Model]:
    write(folder / "net.safetensors", compact(2))
    models = models_in(folder, folder / "notes.json")
    return models, models.cache.get(models.find("net").identity)


def short_of_memory(model: Model, pixels: int) -> None:
    """Let the model fail on more input pixels than that, as a device of that size would."""
    usual = model._run

    def run(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[2] * batch.shape[3] > pixels:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return usual(batch)

    model._run = run


def test_a_network_that_tiles_internally_gets_the_whole_picture_or_refuses(tmp_path: Path) -> None:
    _, model = owned(tmp_path)
    model.facts = replace(model.facts, tiling=Word.INTERNAL)
    assert choose_tiling(model, Size(3000, 2000), AUTO.changed(tile=64)).plan(Size(3000, 2000)).single
    short_of_memory(model, 50 * 50)
    with pytest.raises(OutOfMemoryError, match="even with one tile"):
        run_pass(picture(80, 60).pixels, model, choose_tiling(model, Size(80, 60), AUTO), 8)


@pytest.mark.slow
def test_where_tiling_is_discouraged_tiles_are_as_large_as_fits_and_it_says_so(tmp_path: Path) -> None:
    save(tmp_path / "net.pth", weights("SwinIR"))
    models = models_in(tmp_path)
    model = models.cache.get(models.find("net").identity)
    large = Size(900, 700)
    assert choose_tiling(model, large, AUTO).plan(large).single
    line = plan_upscale(Size(120, 100), AUTO.changed(tile=64), models).describe()
    assert "works best on the whole image" in line


class TestTheTileThatFitted:
    """It is remembered, and a larger one is tried again where there is more room, and from time to time."""

    SIZE = Size(120, 90)

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
        """The time and the free memory, which stand still."""
        values = {"time": 1000.0, "free": 8e9}
        monkeypatch.setattr(network_pass.time, "time", lambda: values["time"])
        monkeypatch.setattr(network_pass, "free_memory", lambda device: int(values["free"]))
        return values

    @staticmethod
    def fail(model: Model) -> None:
        usual = model._run
        short_of_memory(model, 70 * 70)
        source = picture(*TestTheTileThatFitted.SIZE)
        run_pass(source.pixels, model, choose_tiling(model, source.size, AUTO), 8)
        model._run = usual

    def tile(self, model: Model) -> int:
        return max(choose_tiling(model, self.SIZE, AUTO).plan(self.SIZE).tile_size)

    def test_is_remembered(self, tmp_path: Path, now: dict[str, float]) -> None:
        models, model = owned(tmp_path)
        assert self.tile(model) == 120
        self.fail(model)
        again = models_in(tmp_path, tmp_path / "notes.json")
        assert self.tile(again.cache.get(again.find("net").identity)) <= 70
        assert models.cache.loaded(models.find("net").identity) is model

    def test_not_where_there_is_more_room(self, tmp_path: Path, now: dict[str, float]) -> None:
        _, model = owned(tmp_path)
        self.fail(model)
        now["free"] = 12e9
        assert self.tile(model) == 120
        now["free"] = 7e9
        assert self.tile(model) <= 70

    def test_not_for_good(self, tmp_path: Path, now: dict[str, float]) -> None:
        _, model = owned(tmp_path)
        waits = []
        for _ in range(3):
            self.fail(model)
            start = now["time"]
            while self.tile(model) <= 70:
                now["time"] += 10
            waits.append(now["time"] - start)
        assert waits == [60, 120, 240], "the less often it helped, the less often it is tried"


def test_short_runs_that_tell_nothing_new_write_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time that is stored writes a file: fifty small images write it a few times, whatever slows one of them."""
    _, model = owned(tmp_path)
    network_pass._ran_here.clear()
    seconds = iter([0.2, *[0.05, 0.051, 0.049] * 16, 0.19])
    now = {"time": 0.0, "calls": 0}

    def clock() -> float:
        now["calls"] += 1
        if now["calls"] % 2 == 0:
            now["time"] += next(seconds)
        return now["time"]

    monkeypatch.setattr(network_pass.time, "perf_counter", clock)
    source = picture(100, 100)
    for _ in range(50):
        run_pass(source.pixels, model, choose_tiling(model, source.size, AUTO), 8)
    assert len(model.measured.per_device.get("runs")) == 3
    told = network_pass.estimate_seconds(model, 100 * 100)
    assert told is not None
    assert told.high < 0.06


def test_the_measured_radius_is_remembered_and_used(tmp_path: Path) -> None:
    _, model = owned(tmp_path)
    cut = choose_tiling(model, Size(900, 900), AUTO.changed(tile=128))
    assert model.measured.per_weights.get("radius") is not None
    assert not cut.feather
    assert cut.overlap == 2 * model.measured.per_weights.get("radius")
    # Four convolutions of 3x3 see four pixels far.
    assert 3 <= model.measured.per_weights.get("radius") <= 8


def test_nothing_is_measured_where_the_picture_is_one_tile(tmp_path: Path) -> None:
    _, model = owned(tmp_path)
    choose_tiling(model, Size(100, 90), AUTO)
    assert model.measured.per_weights.get("radius") is None


def test_an_overlap_too_small_for_a_hard_cut_fades(tmp_path: Path) -> None:
    _, model = owned(tmp_path)
    model.measured.per_weights.put(radius=12)
    assert choose_tiling(model, Size(500, 500), AUTO.changed(tile=128, overlap=8)).feather
    assert not choose_tiling(model, Size(500, 500), AUTO.changed(tile=128, overlap=24)).feather


def test_the_window_of_a_transformer_aligns_its_tiles(tmp_path: Path) -> None:
    save(tmp_path / "net.pth", weights("SwinIR"))
    models = models_in(tmp_path)
    model = models.cache.get(models.find("net").identity)
    assert size_constraint_of(model).align % 8 == 0
    plan = choose_tiling(model, Size(300, 200), AUTO.changed(tile=96, overlap=16)).plan(Size(300, 200))
    assert all(tile.source.x % 8 == 0 and tile.source.y % 8 == 0 for tile in plan)
