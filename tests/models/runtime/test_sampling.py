"""Networks that sample at computed places: the same in float32, and no worse in large tiles of lower precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lib_upscale.models.identification.resselt import is_installed
from lib_upscale.models.runtime.loader import load_network
from tests.helpers import models_in
from tests.models import networks, resselt_networks
from tests.models.resselt_networks import VARIANTS

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def from_resselt(name: str, index: int) -> Callable[[], torch.nn.Module]:
    return lambda: resselt_networks.with_weights(VARIANTS[name][index])


def mosr() -> torch.nn.Module:
    from spandrel.architectures.MoSR import MoSR

    torch.manual_seed(0)
    network: torch.nn.Module = MoSR(n_block=1, dim=16, upscale=2, upsampler="dys")
    return network


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "spandrel's MoSR, DySample": mosr,
    "MoSRv2, DySample": from_resselt("MoSRv2", 1),
    "SPANPlus, DySample": from_resselt("SPANPlus", 0),
    "GFISR, LDA-AQU": from_resselt("GFISR", 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_large_tiles_are_as_good_as_small_ones_in_any_precision(tmp_path: Path, name: str) -> None:
    if "MoSR," not in name and not is_installed():
        pytest.skip("resselt is not installed")
    path = networks.save(tmp_path / "some.pth", dict(NETWORKS[name]().state_dict()))
    models = models_in(tmp_path)
    descriptor = load_network(path)
    descriptor.model.eval()
    coarse = torch.rand(1, 3, 8, 64, generator=torch.Generator().manual_seed(0))
    batch = functional.interpolate(coarse, size=(48, 640), mode="nearest")
    with torch.inference_mode():
        right = descriptor(batch.clone())
    exact = models.cache.get(models.find("some").identity, "full")
    assert float((exact(batch) - right).abs().max()) * 255 <= 0.05
    for precision in ("half", "bfloat16"):
        model = models.cache.get(models.find("some").identity, precision)
        # torch of 2023 has no half precision on a CPU: the model then computes in full.
        assert model.dtype != torch.float32 or "full precision" in model.precision_note
        assert float((model(batch) - right).abs().mean()) * 255 <= 1.5, precision
