"""The same tensors come out of every wrapper and under every prefix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_upscale.models.formats.reader import read_checkpoint
from tests.models.checkpoints import assert_infos, assert_same, safetensors_bytes, weights


@pytest.mark.parametrize(
    "wrapper",
    ["params_ema", "params", "state_dict", "model", "model_state_dict", "params-ema", "net", "generator", "anything"],
)
def test_wrappers(tmp_path: Path, wrapper: str) -> None:
    path = tmp_path / "w.pth"
    torch.save({wrapper: weights()}, path)
    assert_same(read_checkpoint(path).load(), weights())


def test_wrapper_among_other_things(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    other = {name: tensor * 2 for name, tensor in weights().items()}
    torch.save({"iter": 5, "params": other, "params_ema": weights(), "optimizer": optimizer}, path)
    assert_same(read_checkpoint(path).load(), weights())


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "netG.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("safe", [True, False])
def test_prefixes(tmp_path: Path, prefix: str, safe: bool) -> None:
    path = tmp_path / "p.pth"
    named = {prefix + name: tensor for name, tensor in weights().items()}
    if safe:
        path.write_bytes(safetensors_bytes(named))
    else:
        torch.save(named, path)
    checkpoint = read_checkpoint(path)
    assert_infos(checkpoint, weights())
    assert_same(checkpoint.load(), weights())
    assert_same(checkpoint.load_small(8), {name: t for name, t in weights().items() if t.numel() <= 8})
