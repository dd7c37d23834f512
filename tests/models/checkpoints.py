"""Checkpoints for tests, made of a few tensors, and comparisons with what is read of them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
import torch

from lib_upscale.models.formats.checkpoint import Checkpoint, TensorInfo

DTYPES = [
    name
    for name in [
        "bool",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "float8_e5m2",
    ]
    if hasattr(torch, name)
]


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"a.weight": torch.randn(4, 3, 3, 3), "a.bias": torch.randn(4), "b.0.weight": torch.randn(2, 4).half()}


def assert_same(loaded: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(loaded) == set(expected)
    for name, tensor in expected.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert torch.equal(loaded[name].float(), tensor.float()), name


def assert_infos(checkpoint: Checkpoint, expected: dict[str, torch.Tensor]) -> None:
    assert dict(checkpoint.tensors) == {
        name: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in expected.items()
    }


def safetensors_bytes(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> bytes:
    package = pytest.importorskip("safetensors.torch", reason="the package safetensors is not installed")
    content: bytes = package.save(tensors, metadata=metadata)
    return content


def rezipped(content: bytes, change: dict[str, bytes | None], compress: bool = False) -> bytes:
    """The archive with members replaced (by bytes) or left out (None)."""
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", method) as target:
        root = source.namelist()[0].split("/")[0]
        names = dict.fromkeys([*source.namelist(), *(f"{root}/{name}" for name in change)])
        for name in names:
            inner = name.split("/", 1)[1]
            data = change[inner] if inner in change else source.read(name)
            if data is not None:
                target.writestr(name, data)
    return out.getvalue()


def saved(tensors: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
