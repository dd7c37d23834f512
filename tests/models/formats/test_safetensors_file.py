"""Safetensors files: every type, the metadata, and headers that contradict themselves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from lib_upscale.errors import DamagedFileError
from lib_upscale.models.formats.reader import read_checkpoint
from tests.models.checkpoints import DTYPES, assert_same, safetensors_bytes, weights


@pytest.mark.parametrize("name", [n for n in DTYPES if n not in ("complex64", "complex128")])
def test_every_type_of_number_in_safetensors(tmp_path: Path, name: str) -> None:
    tensor = torch.arange(6).to(torch.float32).to(getattr(torch, name)).reshape(2, 3)
    path = tmp_path / "t.safetensors"
    try:
        path.write_bytes(safetensors_bytes({"t": tensor}))
    except (KeyError, ValueError, AttributeError) as error:
        pytest.skip(f"this safetensors does not know {name}: {error}")
    assert_same(read_checkpoint(path).load(), {"t": tensor})


def test_safetensors_metadata(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(weights(), {"author": "someone"}))
    assert read_checkpoint(path).metadata == {"author": "someone"}


def header(entries: str, data: bytes = b"") -> bytes:
    raw = entries.encode()
    return struct.pack("<Q", len(raw)) + raw + data


@pytest.mark.parametrize(
    "content",
    [
        header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 4),
        header('{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', b"\0" * 8),
        header('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":{"dtype":"F32","shape":[true,2],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":{"shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,8]}}', b"\0" * 8),
        header('{"a":' * 100_000),
        header('{"a":1}'),
        header("{nonsense}"),
        struct.pack("<Q", 1 << 39) + b"{" + b" " * 100,
        struct.pack("<Q", 5000) + b'{"a":' + b" " * 100,
    ],
)
def test_contradictory_safetensors_are_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        read_checkpoint(path)
    assert "bad.safetensors" in str(caught.value)
    assert caught.value.advice
