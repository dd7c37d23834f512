"""Tensors come out of a file of torch as torch put them in, or the file is damaged."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.errors import DamagedFileError
from lib_upscale.models.formats.checkpoint import TensorInfo
from lib_upscale.models.formats.reader import read_checkpoint
from tests.models.checkpoints import DTYPES, assert_same, rezipped, saved, weights


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("new", [True, False])
def test_every_type_of_number(tmp_path: Path, name: str, new: bool) -> None:
    dtype = getattr(torch, name)
    tensor = torch.arange(7).to(torch.float32).to(dtype)
    path = tmp_path / "t.pth"
    try:
        torch.save({"t": tensor}, path, _use_new_zipfile_serialization=new)
    except (RuntimeError, KeyError, AttributeError) as error:
        pytest.skip(f"this torch does not save {name} so: {error}")
    checkpoint = read_checkpoint(path)
    assert checkpoint.tensors["t"] == TensorInfo((7,), name)
    loaded = checkpoint.load()["t"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded.to(torch.complex64), tensor.to(torch.complex64))


@pytest.mark.parametrize("new", [True, False])
def test_views_and_shared_storages(tmp_path: Path, new: bool) -> None:
    base = torch.arange(24, dtype=torch.float32)
    tensors = {
        "whole": base.reshape(4, 6),
        "transposed": base.reshape(4, 6).t(),
        "offset": base[5:9],
        "strided": base[::3],
        "repeated": base[2:3].expand(5),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
    }
    path = tmp_path / "views.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=new)
    loaded = read_checkpoint(path).load()
    assert_same(loaded, tensors)
    loaded["whole"][0, 0] = 100.0
    assert loaded["transposed"][0, 0] == 100.0


def test_windows_of_a_storage_that_torch_0_wrote(tmp_path: Path) -> None:
    """Before 0.4 a storage could be a window of another; today's torch reads that and no longer writes it."""
    base = torch.arange(10, dtype=torch.float32)
    path = tmp_path / "window.pth"
    torch.save({"t": base[3:7]}, path, _use_new_zipfile_serialization=False)
    reference = torch.load(path, weights_only=True)["t"]
    assert_same(read_checkpoint(path).load(), {"t": reference})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False])
def test_every_pickle_protocol(tmp_path: Path, protocol: int, new: bool) -> None:
    path = tmp_path / "p.pth"
    torch.save(weights(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    assert_same(read_checkpoint(path).load(), weights())


def test_parameters_buffers_and_metadata_of_a_real_state_dict(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    parameters: dict[str, Any] = dict(network.named_parameters())
    torch.save(parameters, tmp_path / "parameters.pth")
    assert_same(read_checkpoint(tmp_path / "parameters.pth").load(), {n: p.detach() for n, p in parameters.items()})
    torch.save(network.state_dict(), tmp_path / "state.pth")
    assert_same(read_checkpoint(tmp_path / "state.pth").load(), dict(network.state_dict()))


def test_parameter_with_attributes(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(3))
    parameter.note = "kept by torch"  # type: ignore[attr-defined]
    tensor = torch.randn(2)
    tensor.note = "kept by torch"  # type: ignore[attr-defined]
    torch.save({"p": parameter, "t": tensor}, tmp_path / "a.pth")
    assert_same(read_checkpoint(tmp_path / "a.pth").load(), {"p": parameter.detach(), "t": tensor})


def test_python_2_wrote_ordered_dicts_as_pairs(tmp_path: Path) -> None:
    class Pairs(collections.OrderedDict):  # type: ignore[type-arg]
        def __reduce__(self) -> Any:
            return collections.OrderedDict, ([[name, tensor] for name, tensor in self.items()],)

    torch.save(Pairs(weights()), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(read_checkpoint(tmp_path / "old.pth").load(), weights())


def test_harmless_company(tmp_path: Path) -> None:
    """What training programs keep beside their weights does not keep them from being read."""
    import argparse
    import datetime

    numpy = pytest.importorskip("numpy")
    company = {
        "args": argparse.Namespace(lr=0.1),
        "out": Path("/somewhere"),
        "best": numpy.float64(3.0),
        "array": numpy.arange(3),
        "when": datetime.datetime(2024, 1, 1),
        "set": {1, 2},
        "milestones": collections.Counter([1, 1]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "big": 10**15,
        "bytes": b"abc",
        "complex": 1j,
    }
    for protocol in (2, 4):
        torch.save({**company, "state_dict": weights()}, tmp_path / "c.ckpt", pickle_protocol=protocol)
        assert_same(read_checkpoint(tmp_path / "c.ckpt").load(), weights())


def test_big_endian_archive(tmp_path: Path) -> None:
    little = weights()
    content = saved({"a": little["a.weight"], "b": little["b.0.weight"]})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
        data = [archive.read(f"{root}/data/{index}") for index in range(2)]
    swapped = [
        b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
        for raw, width in zip(data, (4, 2), strict=True)
    ]
    path = tmp_path / "big.pth"
    path.write_bytes(rezipped(content, {"byteorder": b"big", "data/0": swapped[0], "data/1": swapped[1]}))
    assert_same(read_checkpoint(path).load(), {"a": little["a.weight"], "b": little["b.0.weight"]})


def test_archive_of_the_large_kind(tmp_path: Path) -> None:
    """Sizes and places beyond 4 GB are kept elsewhere in an archive; here they are, without the gigabytes."""
    content = saved(weights())
    path = tmp_path / "zip64.pth"
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            with target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(source.read(name))
    raw = path.read_bytes()
    end = raw.rfind(b"PK\x05\x06")
    fields = struct.unpack_from("<4s4H2LH", raw, end)
    count, length, start = fields[4], fields[5], fields[6]
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(raw[:end] + end64 + locator + tail)
    assert_same(read_checkpoint(path).load(), weights())


def test_compressed_archive_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "packed.pth"
    path.write_bytes(rezipped(saved(weights()), {}, compress=True))
    with pytest.raises(DamagedFileError, match="compressed"):
        read_checkpoint(path)


def test_missing_storage_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "missing.pth"
    path.write_bytes(rezipped(saved(weights()), {"data/1": None}))
    with pytest.raises(DamagedFileError, match="missing"):
        read_checkpoint(path)


def test_short_storage_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "short.pth"
    path.write_bytes(rezipped(saved(weights()), {"data/0": b"\0" * 8}))
    with pytest.raises(DamagedFileError, match="larger than its data"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (11,), (1,)),
        (8, (3,), (1,)),
        (0, (2, 2), (9, 1)),
        (0, (3,), (5,)),
        (-1, (3,), (1,)),
        (0, (-3,), (1,)),
        (0, (3,), (-1,)),
        (0, (3, 3), (1,)),
        (0, (1 << 40,), (0,)),
        (0, (1 << 15, 1 << 15), (0, 0)),
    ],
)
def test_view_outside_its_storage_is_damaged(tmp_path: Path, offset: int, shape: Any, stride: Any) -> None:
    class Lie:
        def __reduce__(self) -> Any:
            storage = torch.arange(10, dtype=torch.float32).storage()
            return torch._utils._rebuild_tensor_v2, (storage, offset, shape, stride, False, collections.OrderedDict())

    path = tmp_path / "lie.pth"
    torch.save({"t": Lie()}, path)
    with pytest.raises(DamagedFileError):
        read_checkpoint(path)


def test_plain_pickle_that_torch_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps({"a": [1, 2, 3]}))
    with pytest.raises(DamagedFileError, match="torch did not write"):
        read_checkpoint(path)
