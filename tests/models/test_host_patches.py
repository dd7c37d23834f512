"""Networks where a program around the library has replaced functions of spandrel's classes, as Forge Neo does."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor

from lib_upscale.models.runtime.loader import load_network

block = pytest.importorskip("spandrel.architectures.__arch_helpers.block")


@pytest.fixture
def neo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense blocks whose forward wants the channels from the constructor's keywords, which spandrel leaves out."""
    dense = block.ResidualDenseBlock_5C
    init, forward = dense.__init__, dense.forward

    @wraps(init)
    def patched_init(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.nf = kwargs.get("nf", 64)

    @wraps(forward)
    def patched_forward(self: Any, x: Tensor) -> Tensor:
        buffer = torch.empty(len(x), self.nf, *x.shape[2:])
        buffer.copy_(x)
        return forward(self, buffer)  # type: ignore[no-any-return]

    monkeypatch.setattr(dense, "__init__", patched_init)
    monkeypatch.setattr(dense, "forward", patched_forward)


@pytest.mark.parametrize("filters", [32, 64])
def test_networks_run_with_spandrels_own_functions(
    filters: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    original = ESRGAN(in_nc=3, out_nc=3, num_filters=filters, num_blocks=1, scale=2).eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        expected = original(image)
    path = tmp_path / "narrow.safetensors"
    save_file(original.state_dict(), path)
    request.getfixturevalue("neo")
    if filters != 64:
        with pytest.raises(RuntimeError, match="size of tensor"):
            ESRGAN(in_nc=3, out_nc=3, num_filters=filters, num_blocks=1, scale=2)(image)
    network = load_network(path).model
    with torch.inference_mode():
        assert torch.equal(network(image), expected)


def test_other_networks_keep_their_functions(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), path)
    assert all("forward" not in vars(module) for module in load_network(path).model.modules())
