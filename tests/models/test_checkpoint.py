"""Tensors come out of a file as torch put them in, whatever it is called and however they are wrapped."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats.reader import Checkpoint, Container, TensorInfo, read_checkpoint

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


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("container", list(Container)[:3])
def test_the_contents_decide_and_not_the_extension(tmp_path: Path, container: Container, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    if container is Container.SAFETENSORS:
        path.write_bytes(safetensors_bytes(weights()))
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=container is Container.ZIP_PICKLE)
    checkpoint = read_checkpoint(path)
    assert checkpoint.container is container
    assert_infos(checkpoint, weights())
    assert_same(checkpoint.load(), weights())


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


@pytest.mark.parametrize("name", [n for n in DTYPES if n not in ("complex64", "complex128")])
def test_every_type_of_number_in_safetensors(tmp_path: Path, name: str) -> None:
    tensor = torch.arange(6).to(torch.float32).to(getattr(torch, name)).reshape(2, 3)
    path = tmp_path / "t.safetensors"
    try:
        path.write_bytes(safetensors_bytes({"t": tensor}))
    except (KeyError, ValueError, AttributeError) as error:
        pytest.skip(f"this safetensors does not know {name}: {error}")
    assert_same(read_checkpoint(path).load(), {"t": tensor})


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


def test_file_that_shrinks_between_reading_and_loading(tmp_path: Path) -> None:
    for name, content in (("a.pth", saved(weights())), ("a.safetensors", safetensors_bytes(weights()))):
        path = tmp_path / name
        path.write_bytes(content)
        checkpoint = read_checkpoint(path)
        path.write_bytes(content[: len(content) // 3])
        with pytest.raises(DamagedFileError):
            checkpoint.load()


def test_file_that_vanishes_between_reading_and_loading(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(saved(weights()))
    checkpoint = read_checkpoint(path)
    path.unlink()
    with pytest.raises(ModelFileError, match="does not exist"):
        checkpoint.load()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux which files are open")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_nothing_stays_open_or_mapped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"held{suffix}"
    if suffix == ".safetensors":
        path.write_bytes(safetensors_bytes(weights()))
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=suffix == ".pth")
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.load()
    assert "held" not in Path("/proc/self/maps").read_text()
    assert not [target for target in _open_files() if "held" in target]
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert_same(tensors, weights())


def _open_files() -> list[str]:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            targets.append(str(descriptor.readlink()))
    return targets


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(ModelFileError, match="folder"):
        read_checkpoint(tmp_path)


def test_plain_pickle_that_torch_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps({"a": [1, 2, 3]}))
    with pytest.raises(DamagedFileError, match="torch did not write"):
        read_checkpoint(path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "a.pth"
    path.write_bytes(saved(weights()))
    code = (
        "import sys; from pathlib import Path; from lib_upscale.models.formats.reader import read_checkpoint; "
        f"assert len(read_checkpoint(Path({str(path)!r})).tensors) == 3; assert 'torch' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
