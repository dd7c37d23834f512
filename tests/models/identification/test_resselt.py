"""Files of the architectures taken of resselt: told from names, described without weights, in every wrapping."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from lib_upscale.errors import DamagedFileError, MissingArchitectureError
from lib_upscale.models.formats.checkpoint import Checkpoint, Container, TensorInfo
from lib_upscale.models.identification.architectures import RESSELT, registry
from lib_upscale.models.identification.identifier import identify
from lib_upscale.models.identification.network_facts import inspect_network, match_architecture
from lib_upscale.models.identification.resselt import FOURIER, GATED, is_installed
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models import networks, resselt_networks
from tests.models.checkpoints import safetensors_bytes
from tests.models.resselt_networks import VARIANTS, Variant

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of constructors
    pytest.mark.skipif(not is_installed(), reason="resselt is not installed"),
]

ALL = [
    pytest.param(name, variant, id=f"{name}-{i}") for name, some in VARIANTS.items() for i, variant in enumerate(some)
]


def state_of(variant: Variant) -> dict[str, torch.Tensor]:
    return dict(resselt_networks.with_weights(variant).state_dict())


def test_every_architecture_has_networks_here() -> None:
    assert tuple(sorted(VARIANTS)) == tuple(sorted(RESSELT))
    assert {str(each.id) for each in (*GATED, *FOURIER)} == set(RESSELT)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "variant"), ALL)
def test_facts_are_true_in_every_wrapping(tmp_path: Path, architecture: str, variant: Variant) -> None:
    state = state_of(variant)
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    numbers = {name: tensor.half() for name, tensor in state.items()}  # tools convert every tensor alike
    files: dict[str, object] = {
        "plain.pth": state,
        "ema.pth": {"params_ema": state},
        "both.pth": {"params": state, "params_ema": state},
        "distributed.pth": {"params": prefixed},
        "lightning.ckpt": {"state_dict": {f"net_g.{name}": t for name, t in state.items()}, "epoch": 3, "lr": 1e-4},
        "resumable.pth": {"model_state_dict": state, "optimizer": {"step": 3}, "iter": 1000},
        "numbers.pth": {"params": {**state, "epoch": 3, "lr": 1e-4}},
        "half.pth": {"params_ema": half},
        "all_half.pth": numbers,
    }
    paths = [networks.save(tmp_path / name, content) for name, content in files.items()]  # type: ignore[arg-type]
    tensors = tmp_path / "plain.safetensors"
    tensors.write_bytes(safetensors_bytes({name: tensor.contiguous().clone() for name, tensor in state.items()}))
    for path in (*paths, tensors):
        identity = identify(path)
        assert identity.architecture == architecture, path.name
        assert identity.kind is (Kind.RESTORER if variant.scale == 1 else Kind.UPSCALER)
        facts = identity.network
        assert facts is not None
        assert (facts.scale, facts.input_channels, facts.output_channels) == (variant.scale, 3, 3), path.name
        assert identity.problem is None


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "variant"), ALL)
def test_facts_need_no_large_weights_and_no_other_architecture_has_the_names(
    architecture: str, variant: Variant
) -> None:
    state = state_of(variant)
    infos = {name: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()}

    def some(names: Iterable[str]) -> dict[str, torch.Tensor]:
        wanted = list(names)
        assert all(infos[name].numel <= 4096 for name in wanted)
        return {name: state[name] for name in wanted}

    match = match_architecture(infos)
    assert match is not None
    checkpoint = Checkpoint(Path("some.pth"), Container.ZIP_PICKLE, infos, some)
    assert inspect_network(checkpoint, match).architecture == architecture
    detecting = {str(each.architecture.id) for each in registry() if each.detect(dict(state))}
    assert detecting == {architecture}


def test_nothing_is_printed_and_no_warning_silenced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """resselt's own import does the one, and its networks the other: into the midst of what `--json` prints."""
    path = networks.save(tmp_path / "lda.pth", state_of(VARIANTS["GFISR"][1]))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("resselt", "lib_upscale_resselt")]:
        monkeypatch.delitem(sys.modules, name)
    capfd.readouterr()
    filters = list(warnings.filters)
    identify(path)
    load_network(path)
    assert capfd.readouterr() == ("", "")
    assert list(warnings.filters) == filters
    assert not [name for name in sys.modules if name.partition(".")[0] == "resselt"]


DAMAGE: dict[str, tuple[str, dict[str, torch.Tensor]]] = {
    "a scale beyond all": ("GFISR", {"dim_to_out.MetaUpsample": torch.tensor([3, 1, 200, 16, 3, 20, 4])}),
    "an upsampler of no kind": ("GFISR", {"dim_to_out.MetaUpsample": torch.tensor([3, 99, 2, 16, 3, 20, 4])}),
    "too few numbers": ("GFISR", {"dim_to_out.MetaUpsample": torch.tensor([3, 1])}),
    "numbers that are none": ("GFISR", {"dim_to_out.MetaUpsample": torch.full((7,), float("nan"))}),
    "a width of billions": ("GFISR", {"dim_to_out.MetaUpsample": torch.tensor([3, 2, 2, 16, 3, 1 << 31, 4])}),
    "a window of no size": ("LAWFFT", {"window_size": torch.tensor(0)}),
    "a window of miles": ("FlexNet", {"window_size": torch.tensor(1 << 40)}),
    "scales beyond all": ("SPANPP", {"MetaIGConv": torch.tensor([1, 2, 100_000])}),
    "a layer of another shape": ("RTMoSR", {"body.0.fc1.conv2.weight": torch.zeros(5, 5, 5, 5)}),
    "an unshuffle by three": ("MoSRv2", {"gblocks.1.weight": torch.zeros(16, 27, 3, 3)}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_a_file_says_of_itself_is_not_believed(tmp_path: Path, name: str) -> None:
    architecture, changes = DAMAGE[name]
    path = networks.save(tmp_path / "some.pth", {**state_of(VARIANTS[architecture][0]), **changes})
    identity = identify(path)
    assert identity.kind is Kind.DAMAGED
    assert identity.architecture == architecture
    assert identity.advice == "download it again, or update resselt if it is a new variant"
    with pytest.raises(DamagedFileError):
        load_network(path)


def test_what_older_files_lack_and_what_does_nothing(tmp_path: Path) -> None:
    state = state_of(VARIANTS["GateRV3"][0])
    del state["gamma"]
    state["latent.0.token_mix.flash"] = torch.tensor([False])
    path = networks.save(tmp_path / "old.pth", state)
    assert identify(path).kind is Kind.RESTORER
    assert torch.equal(load_network(path).model.state_dict()["gamma"], torch.ones(1, 3, 1, 1))


def test_a_resselt_that_lacks_the_network_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise ImportError("resselt has no archs/rha/arch.py")

    path = networks.save(tmp_path / "new.pth", state_of(VARIANTS["RHA"][0]))
    monkeypatch.setattr("lib_upscale.models.identification.resselt.adapter.network_class", none)
    identity = identify(path)
    assert identity.architecture == "RHA"
    assert "can't be taken from resselt" in str(identity.problem)
    with pytest.raises(DamagedFileError, match="update resselt"):
        load_network(path)


def test_another_attention_is_named(tmp_path: Path) -> None:
    state = {**state_of(VARIANTS["GateRV3"][0]), "latent.0.token_mix.flash": torch.tensor([True])}
    path = networks.save(tmp_path / "flash.pth", state)
    identity = identify(path)
    assert identity.kind is Kind.UNKNOWN
    assert "is a GateRv3 with flash attention, whose network none of the packages has" in str(identity.problem)
    with pytest.raises(MissingArchitectureError):
        load_network(path)
