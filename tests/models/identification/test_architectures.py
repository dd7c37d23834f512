"""Every architecture that spandrel has: told from its names, described without its weights, loaded in full."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from spandrel import UnsupportedModelError

from lib_upscale.models.formats.checkpoint import Checkpoint, Container, TensorInfo
from lib_upscale.models.identification.architectures import EXPECTED, missing_architectures, registry
from lib_upscale.models.identification.identifier import identify
from lib_upscale.models.identification.network_facts import collect_facts, inspect_network, match_architecture
from lib_upscale.models.identification.other_models import identify_other_model
from lib_upscale.models.identification.unavailable import recognize_unavailable
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models import networks

pytestmark = pytest.mark.filterwarnings("ignore")  # of spandrel's constructors

PURPOSES = {
    "SR": Kind.UPSCALER,
    "Restoration": Kind.RESTORER,
    "FaceSR": Kind.FACE_RESTORER,
    "Inpainting": Kind.INPAINTING,
}


def test_every_expected_architecture_has_a_network_here() -> None:
    assert tuple(sorted(EXPECTED)) == networks.IDS


def test_what_an_older_spandrel_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without importing it, and whether the extra package is there or not."""
    architectures = tmp_path / "spandrel" / "architectures"
    for name in ("ESRGAN", "SwinIR", "__arch_helpers"):
        (architectures / name).mkdir(parents=True)
    (tmp_path / "spandrel" / "__init__.py").write_text("raise SystemExit('it must not be imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("spandrel", "spandrel_extra_arches"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    assert set(missing_architectures()) == set(EXPECTED) - {"ESRGAN", "SwinIR"}


def test_what_is_missing_is_what_the_registry_does_not_have() -> None:
    known = registry()
    assert missing_architectures() == tuple(name for name in EXPECTED if name not in known)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with networks.quick_init():
        yield


@dataclass(frozen=True)
class Saved:
    """A file of a small network, in a folder that says something else, and what spandrel makes of it."""

    architecture: str
    path: Path
    content: dict[str, torch.Tensor]
    full: Any


@pytest.fixture(scope="module", params=networks.IDS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """What torch itself reads from the file, and spandrel's own full load of that."""
    architecture: str = request.param
    if architecture in missing_architectures():
        pytest.skip(f"the installed spandrel has no {architecture}")
    try:
        tensors = networks.weights(architecture)
    except TypeError as error:
        pytest.skip(f"the installed spandrel builds {architecture} otherwise: {error}")
    path = networks.save(tmp_path_factory.mktemp("ESRGAN") / "4x_something.pth", tensors, "params_ema")
    content = torch.load(path, map_location="cpu", weights_only=True)["params_ema"]
    try:
        full = registry().load(dict(content))
    except UnsupportedModelError:
        pytest.skip(f"the installed spandrel does not recognize its own {architecture}")
    return Saved(architecture, path, content, full)


@pytest.mark.slow
def test_facts_are_those_of_a_full_load(saved: Saved) -> None:
    identity = identify(saved.path)
    assert identity.network == collect_facts(saved.full)
    assert identity.architecture == saved.architecture
    assert identity.kind is PURPOSES[saved.full.purpose]
    assert identity.usable == (saved.full.purpose in ("SR", "Restoration"))
    if identity.usable:
        assert identity.problem is None
        assert identity.advice is None
    else:
        assert identity.problem
        assert identity.advice


@pytest.mark.slow
def test_a_loaded_network_has_the_weights_of_spandrels_own_load(saved: Saved) -> None:
    expected = saved.full.model.eval().state_dict()  # some fuse their branches then
    loaded = load_network(saved.path).model
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    actual = loaded.state_dict()
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


@pytest.mark.slow
def test_facts_need_no_large_weights(saved: Saved) -> None:
    """Only tensors of up to 4096 elements are read, and nothing falls back to loading the rest."""
    content = saved.content
    infos = {name: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in content.items()}

    def some(names: Iterable[str]) -> dict[str, torch.Tensor]:
        wanted = list(names)
        assert all(infos[name].numel <= 4096 for name in wanted)
        return {name: content[name] for name in wanted}

    checkpoint = Checkpoint(saved.path, Container.ZIP_PICKLE, infos, some)
    match = match_architecture(infos)
    assert match is not None
    assert inspect_network(checkpoint, match).architecture == saved.architecture
    assert identify_other_model(checkpoint) is None
    assert recognize_unavailable(match.rename(infos)) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["realesr-animevideov3-x4", "realesrgan-x4plus-anime", "realesrgan-x4plus"])
def test_published_weights(shared_models: Path, name: str) -> None:
    identity = identify(shared_models / f"{name}.safetensors")
    assert identity.kind is Kind.UPSCALER
    assert identity.network is not None
    assert identity.network.scale == 4
    assert identity.architecture == ("Compact" if "animevideo" in name else "ESRGAN")


@pytest.mark.slow
def test_published_transformer(shared_models: Path) -> None:
    path = shared_models / "DAT_light_x4.pth"
    assert identify(path).network == collect_facts(load_network(path))
