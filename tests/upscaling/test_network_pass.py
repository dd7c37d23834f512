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


@pytest.mark.slow
def test_the_tile_that_fitted_is_remembered(tmp_path: Path) -> None:
    models, model = owned(tmp_path)
    short_of_memory(model, 110 * 110)
    source = picture(200, 150)
    run_pass(source.pixels, model, choose_tiling(model, source.size, AUTO), 8)
    again = models_in(tmp_path, tmp_path / "notes.json")
    fresh = again.cache.get(again.find("net").identity)
    assert max(choose_tiling(fresh, source.size, AUTO).plan(source.size).tile_size) <= 110
    assert models.cache.loaded(models.find("net").identity) is model


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
