"""Loaded models: kept, let go of, moved to full precision when half of it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from lib_upscale.device import choose_device
from lib_upscale.errors import SettingsError, UnusableModelError
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model import Model
from lib_upscale.models.runtime.prepare import alignment
from tests.helpers import compact, models_in, write
from tests.models.networks import build


def test_a_loaded_model_is_used_again(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", compact(2))
    models = models_in(tmp_path)
    identity = models.find("a").identity
    assert models.cache.get(identity) is models.cache.get(identity)


def test_a_file_that_changed_is_loaded_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", compact(2))
    models = models_in(tmp_path)
    before = models.cache.get(models.find("a").identity)
    write(path, compact(4))
    models.catalog.refresh()
    after = models.cache.get(models.find("a").identity)
    assert (before.scale, after.scale) == (2, 4)


def test_an_ncnn_pair_whose_weights_changed_is_loaded_anew(tmp_path: Path) -> None:
    from tests.models.formats.ncnn.writer import Pair, compact_pair, randomized
    from tests.models.networks import build

    param = compact_pair(randomized(build("Compact")), Pair()).write(tmp_path)
    models = models_in(tmp_path)
    entry = models.find(param.stem)
    before = models.cache.get(entry.identity)
    weights = param.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes())
    os.utime(weights, ns=(1, 1))
    assert models.cache.get(entry.identity) is not before


def test_what_is_measured_for_one_backend_is_not_taken_for_another(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", compact(2))
    models = models_in(tmp_path)
    identity = models.find("a").identity
    models.cache.get(identity).measured.per_device.put(seconds_per_pixel=1.0)
    other = models.cache.get(identity, variant="other", accelerate=lambda descriptor: descriptor)
    assert other.measured.per_device.get("seconds_per_pixel") is None


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.safetensors", compact(2))
    models = models_in(tmp_path, max_models=2)
    a, b, c = (models.find(name) for name in "abc")
    for entry in (a, b, a, c):
        models.cache.get(entry.identity)
    assert models.cache.loaded(a.identity) is not None
    assert models.cache.loaded(b.identity) is None
    assert models.cache.loaded(c.identity) is not None
    models.cache.clear()
    assert len(models.cache) == 0


def test_memory_bounds_what_is_kept(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.safetensors", compact(2))
    models = models_in(tmp_path, max_models=9, max_bytes=1)
    for name in "ab":
        models.cache.get(models.find(name).identity)
    assert len(models.cache) == 1


class Overflows(torch.nn.Module):
    """A network whose values exceed what half precision can hold, as some transformers' do."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor([300.0]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        large = image * self.factor * self.factor
        return large / self.factor / self.factor


class Wrapped:
    """What spandrel puts around a network."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.model = network

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return self.model(image)


def _model(path: Path, network: torch.nn.Module, notes: MeasurementStore) -> Model:
    write(path, compact(1))
    facts = models_in(path.parent).find(path.stem).identity.network
    assert facts is not None
    return Model(path, Wrapped(network), facts, torch.device("cpu"), notes)


def test_half_precision_that_overflows_is_done_again_in_full_and_remembered(tmp_path: Path) -> None:
    notes = MeasurementStore(tmp_path / "notes.json")
    model = _model(tmp_path / "deep.safetensors", Overflows(), notes)
    model.to(torch.device("cpu"), torch.float16)
    batch = torch.full((1, 3, 8, 8), 0.9)
    assert not torch.isfinite(model(batch)).all()
    assert torch.allclose(model.recover(batch), batch, atol=1e-3)
    assert model.dtype == torch.float32
    assert MeasurementStore(tmp_path / "notes.json").get(model.weight_hash, "needs_float32") is True


def test_a_tile_that_was_under_way_when_the_model_moved_to_full_precision_is_done_again_too(tmp_path: Path) -> None:
    """A graphics card is given the next tile before the last one is looked at: both were computed in half."""
    model = _model(tmp_path / "deep.safetensors", Overflows(), MeasurementStore())
    model.to(torch.device("cpu"), torch.float16)
    tiles = [torch.full((1, 3, 8, 8), level) for level in (0.9, 0.8)]
    for tile in tiles:
        assert not torch.isfinite(model(tile)).all()
    for tile in tiles:
        assert torch.allclose(model.recover(tile), tile, atol=1e-3)


def test_a_model_that_is_broken_in_full_precision_is_an_error(tmp_path: Path) -> None:
    class Broken(Overflows):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * float("nan")

    model = _model(tmp_path / "broken.safetensors", Broken(), MeasurementStore())
    with pytest.raises(UnusableModelError, match=r"broken\.safetensors .*not numbers"):
        model.recover(torch.zeros(1, 3, 8, 8))


def test_a_network_that_fails_says_which_file_and_why(tmp_path: Path) -> None:
    class Refuses(Overflows):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise ValueError("windows do not divide")

    model = _model(tmp_path / "picky.safetensors", Refuses(), MeasurementStore())
    with pytest.raises(UnusableModelError, match=r"picky\.safetensors failed.*windows do not divide"):
        model(torch.zeros(1, 3, 8, 8))


def test_a_precision_that_the_network_lacks_is_refused(tmp_path: Path) -> None:
    from tests.models.networks import save, weights

    save(tmp_path / "clean.pth", weights("GRL"))
    write(tmp_path / "fast.safetensors", compact(2))
    models = models_in(tmp_path)
    with pytest.raises(UnusableModelError, match=r"clean\.pth can't compute in half"):
        models.cache.get(models.find("clean").identity, "half")
    assert models.cache.get(models.find("fast").identity, "bfloat16").dtype == torch.bfloat16
    half = models.cache.get(models.find("fast").identity, "half")
    # torch 2.1 can't compute in half on a CPU, which the trial finds out.
    assert half.dtype == torch.float16 or "fails in float16" in half.precision_note


def test_an_absent_device_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="no device called 'cuda:99'"):
        choose_device("cuda:99")
    with pytest.raises(SettingsError, match="no device called 'toaster'"):
        choose_device("toaster")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(("architecture", "align"), [("SwinIR", 8), ("ESRGAN", 1), ("Compact", 1)])
def test_tiles_are_aligned_to_the_window(tmp_path: Path, architecture: str, align: int) -> None:
    from tests.models.networks import save, weights

    save(tmp_path / "net.pth", weights(architecture))
    entry = models_in(tmp_path).find("net")
    assert entry.identity.network is not None
    assert alignment(build(architecture), entry.identity.network) % align == 0


def test_notes_survive_another_process_and_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    one, other = MeasurementStore(path), MeasurementStore(path)
    one.put("a", tile=256)
    other.put("b", tile=512)
    assert set(json.loads(path.read_text())) == {"a", "b"}
    path.write_text('{"a": {"tile"')
    again = MeasurementStore(path)
    assert again.get("a", "tile") is None
    again.put("c", tile=64)
    assert MeasurementStore(path).get("c", "tile") == 64


def test_span_is_fused_once_and_computes_the_same(tmp_path: Path) -> None:
    from tests.models.networks import save, weights

    torch.manual_seed(3)
    save(tmp_path / "span.pth", {name: value.clone() for name, value in weights("SPAN").items()})
    from lib_upscale.models.runtime.loader import load_network

    image = torch.rand(1, 3, 16, 16)
    expected = load_network(tmp_path / "span.pth")(image)
    models = models_in(tmp_path)
    model = models.cache.get(models.find("span").identity)
    fused = [m for m in model._descriptor.model.modules() if hasattr(m, "eval_conv")]
    before = [m.eval_conv.weight.data_ptr() for m in fused]
    assert torch.allclose(model(image), expected, atol=1e-5)
    assert [m.eval_conv.weight.data_ptr() for m in fused] == before
