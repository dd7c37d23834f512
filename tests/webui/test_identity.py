"""An unfinished redraw goes on with the model that it was begun with, also where the host hashes no files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.webui.host import environment, model
from lib_upscale.webui.sd_upscale import identity


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "option", lambda key, default: default)
    monkeypatch.setattr(identity, "image_prompt", lambda p: "a cat")


def key(sd_model_hash: str | None) -> str:
    p: Any = SimpleNamespace(
        sd_model_hash=sd_model_hash,
        sd_vae_name=None,
        sd_vae_hash=None,
        extra_generation_params={},
        negative_prompts=[""],
        subseed_strength=0,
    )
    return json.dumps(identity.host_identity(p, None, [], "Lanczos"))


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(sd_checkpoint_info=SimpleNamespace(filename=str(path)))
    monkeypatch.setattr(model, "loaded_model", lambda: loaded)


def test_checkpoints_without_a_hash_are_told_apart_by_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--no-hashing` the host's hash of every checkpoint is None."""
    keys = []
    for name, content in (("a.safetensors", b"weights"), ("b.safetensors", b"weights"), ("a.safetensors", b"others!!")):
        (tmp_path / name).write_bytes(content)
        load(tmp_path / name, monkeypatch)
        keys.append(key(None))
        assert key(None) == keys[-1]
    assert len(set(keys)) == 3


def test_with_a_hash_a_checkpoint_may_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for name in ("here.safetensors", "there.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
        load(tmp_path / name, monkeypatch)
        keys.append(key("0123456789"))
    assert keys[0] == keys[1] != key("9876543210")
