"""Reads files that torch wrote: zip archives (since torch 1.6), and before those pickles with raw data behind them.

Source of both layouts: torch/serialization.py, `_save` and `_legacy_save`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lib_upscale.errors import DamagedFileError
from lib_upscale.models.formats.checkpoint import (
    DOWNLOAD_AGAIN,
    Checkpoint,
    CheckpointFormat,
    Container,
    DamagedContentError,
    TensorInfo,
    UnsupportedContainerError,
)
from lib_upscale.models.formats.dtypes import SIZES, torch_dtype
from lib_upscale.models.formats.pickle.interpreter import MAX_BYTES, Reading, interpret
from lib_upscale.models.formats.pickle.values import DamagedPickleError, TensorRef, TruncatedPickleError
from lib_upscale.models.formats.state_dict import find_numbers, find_tensors
from lib_upscale.models.formats.zip_archive import ZipInfo, data_start, is_stored, list_members
from lib_upscale.models.identity import Kind

if TYPE_CHECKING:
    import torch

__all__ = ["LEGACY", "ZIP"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_FIRST_CHUNK = 1 << 20
_MAX_REPEATED = 1 << 28
"""Elements of all tensors beyond those stored: tensors may repeat what is stored, but more is an attack on memory."""
_MODEL_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".param", ".bin", ".gguf")


@dataclass(frozen=True)
class Place:
    """Where a storage is in its file, in bytes."""

    start: int
    size: int


def _checkpoint(
    path: Path, container: Container, reading: Reading, swapped: bool, locate: Callable[[BinaryIO, str], Place]
) -> Checkpoint:
    """Make the checkpoint that a pickle describes.

    Args:
        path: The file.
        container: How the file keeps its tensors.
        reading: What its pickle says.
        swapped: Whether numbers are stored with their highest byte first.
        locate: Finds a storage in the open file, by its key.
    """
    refs = find_tensors(reading.value)
    stored = sum(numel for _, numel in reading.storages.values())
    if sum(prod(ref.shape) for ref in refs.values()) > stored + _MAX_REPEATED:
        raise DamagedPickleError("tensors far larger than their data")

    def load(names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Tensors that share a storage share it again."""
        storages: dict[str, bytearray] = {}
        tensors: dict[str, torch.Tensor] = {}
        with path.open("rb") as file:
            for name in names:
                ref = refs[name]
                raw = storages.get(ref.storage.key)
                if raw is None:
                    raw = storages[ref.storage.key] = _read(file, locate(file, ref.storage.key))
                    if swapped:
                        _swap(raw, SIZES[ref.storage.dtype or ref.dtype])
                tensors[name] = _view(raw, ref)
        return tensors

    infos = {name: TensorInfo(ref.shape, ref.dtype) for name, ref in refs.items()}
    value = reading.value
    keys = (str(key) for key in list(value)[:1000]) if type(value) is dict else ()
    numbers = find_numbers(value)
    return Checkpoint(path, container, infos, load, numbers=numbers, markers=reading.names.union(keys))


def _read(file: BinaryIO, place: Place) -> bytearray:
    raw = bytearray(place.size)
    file.seek(place.start)
    if file.readinto(raw) != place.size:  # type: ignore[attr-defined]
        raise TruncatedPickleError("weights that end too early")
    return raw


def _swap(raw: bytearray, width: int) -> None:
    """Reverse the bytes of every number of `width` bytes, in place."""
    whole = len(raw) // width * width
    view = bytes(raw[:whole])
    for index in range(width):
        raw[index:whole:width] = view[width - 1 - index :: width]


def _view(raw: bytearray, ref: TensorRef) -> torch.Tensor:
    import torch

    dtype = torch_dtype(ref.dtype)
    width = SIZES[ref.dtype]
    skip = ref.storage.start * width
    count = min(ref.storage.numel * _storage_width(ref) // width, (len(raw) - skip) // width)
    if count <= 0:
        return torch.empty(ref.shape, dtype=dtype)
    flat = torch.frombuffer(raw, dtype=dtype, count=count, offset=skip)
    return flat.as_strided(ref.shape, ref.stride, ref.offset)


def _storage_width(ref: TensorRef) -> int:
    return 1 if ref.storage.dtype is None else SIZES[ref.storage.dtype]


def _matches_zip(head: bytes, path: Path) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _read_zip(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    members = list_members(file, size)
    by_name = {member.filename: member for member in members}
    if len(by_name) != len(members):
        raise DamagedContentError("it holds two entries of one name")
    root = next((name[: -len("data.pkl")] for name in by_name if name.endswith("/data.pkl")), None)
    if root is None and "data.pkl" in by_name:
        root = ""
    if _is_torchscript(by_name, root):
        raise UnsupportedContainerError(
            path,
            "is a TorchScript program, which was not opened: running it could do anything",
            "get the same model as .safetensors or .pth",
            Kind.TORCHSCRIPT,
            "TorchScript",
        )
    if root is None or root.count("/") > 1:
        raise _other_zip(path, members)
    return _read_members(path, file, by_name, root)


def _is_torchscript(names: Mapping[str, object], root: str | None) -> bool:
    folders = [name.removesuffix("model.json") for name in names if name.endswith("/model.json")]
    if root is not None:
        if f"{root}constants.pkl" in names:
            return True
        folders.append(root)
    return any(name.startswith(f"{folder}code/") for folder in folders for name in names)


def _other_zip(path: Path, members: list[ZipInfo]) -> DamagedFileError:
    models = [
        member.filename.rpartition("/")[2] for member in members if member.filename.lower().endswith(_MODEL_SUFFIXES)
    ]
    if models:
        return DamagedFileError(path, f"is a zip archive that holds a model ({models[0]})", "unpack it")
    return DamagedFileError(path, "is a zip archive without a model in it", DOWNLOAD_AGAIN)


def _read_members(path: Path, file: BinaryIO, members: Mapping[str, ZipInfo], root: str) -> Checkpoint:
    """Read an archive whose entries are all under `root` ("archive/")."""
    reading = interpret(_content(file, members[f"{root}data.pkl"], MAX_BYTES))
    order = members.get(f"{root}byteorder")
    swapped = order is not None and _content(file, order, 100).strip() == b"big"
    room = file.seek(0, SEEK_END)
    for key, (dtype, numel) in reading.storages.items():
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise DamagedContentError("a part of its weights is missing")
        if not is_stored(member):
            raise DamagedContentError("its weights are compressed, which torch never does")
        if numel * (1 if dtype is None else SIZES[dtype]) > member.file_size:
            raise DamagedPickleError("a storage that is larger than its data")
        # Members can name the same bytes: by that, a small file would become any amount of memory.
        room -= member.file_size
        if room < 0:
            raise DamagedContentError("its members are larger than the file")

    def locate(stream: BinaryIO, key: str) -> Place:
        member = members[f"{root}data/{key}"]
        return Place(data_start(stream, member), member.file_size)

    return _checkpoint(path, Container.ZIP_PICKLE, reading, swapped, locate)


def _content(file: BinaryIO, member: ZipInfo, limit: int) -> bytes:
    if not is_stored(member):
        raise DamagedContentError("its contents are compressed, which torch never does")
    if member.file_size > limit:
        raise DamagedContentError("its list of weights is too large to be one")
    file.seek(data_start(file, member))
    content = file.read(member.file_size)
    if len(content) != member.file_size:
        raise DamagedContentError("it is cut off")
    return content


def _matches_legacy(head: bytes, path: Path) -> bool:
    return head[:1] == b"\x80"


def _read_legacy(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    limit = min(size, MAX_BYTES)
    length = _FIRST_CHUNK
    while True:
        file.seek(0)
        data = file.read(min(length, limit))
        try:
            reading, keys, swapped, end = _legacy_pickles(data)
            break
        except TruncatedPickleError:
            if length >= limit:
                raise
            length *= 16
    places = _legacy_places(file, size, end, reading, keys, swapped)
    return _checkpoint(path, Container.LEGACY_PICKLE, reading, swapped, lambda stream, key: places[key])


def _legacy_pickles(data: bytes) -> tuple[Reading, list[str], bool, int]:
    """Read the five pickles: a number, a version, the machine, the object, the storages' keys."""
    magic = interpret(data)
    if magic.value != _LEGACY_MAGIC if type(magic.value) is int else True:
        raise DamagedPickleError("a pickle that torch did not write")
    version = interpret(data, magic.end)
    if type(version.value) is not int or version.value != _LEGACY_PROTOCOL:
        raise DamagedPickleError("a version of torch's format that does not exist")
    machine = interpret(data, version.end)
    swapped = type(machine.value) is dict and machine.value.get("little_endian") is False
    content = interpret(data, machine.end)
    keys = interpret(data, content.end)
    if type(keys.value) is not list or not all(type(key) is str for key in keys.value):
        raise DamagedPickleError("a file without its list of weights")
    return content, keys.value, swapped, keys.end


def _legacy_places(
    file: BinaryIO, size: int, position: int, reading: Reading, keys: list[str], swapped: bool
) -> dict[str, Place]:
    """Find each storage: its number of elements, eight bytes, then its data, in the order of `keys`."""
    places: dict[str, Place] = {}
    for key in keys:
        if key not in reading.storages:
            raise DamagedPickleError("weights that nothing describes")
        dtype, expected = reading.storages[key]
        file.seek(position)
        raw = file.read(8)
        if len(raw) < 8:
            raise TruncatedPickleError("weights that end too early")
        numel = struct.unpack(">q" if swapped else "<q", raw)[0]
        length = numel * (1 if dtype is None else SIZES[dtype])
        if numel < expected:
            raise DamagedPickleError("a storage that is larger than its data")
        if position + 8 + length > size:
            raise TruncatedPickleError("weights that end too early")
        places[key] = Place(position + 8, length)
        position += 8 + length
    if any(key not in places for key in reading.storages):
        raise DamagedPickleError("a part of its weights is missing")
    return places


ZIP = CheckpointFormat(_matches_zip, _read_zip)
LEGACY = CheckpointFormat(_matches_legacy, _read_legacy)
