"""Files that torch wrote: zip archives (since torch 1.6) and the pickles with raw data of before.

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

from lib_upscale.models.formats.dtypes import SIZES, torch_dtype
from lib_upscale.models.formats.pickle.interpreter import (
    MAX_BYTES,
    DamagedPickleError,
    Reading,
    TensorRef,
    TruncatedPickleError,
    interpret,
)
from lib_upscale.models.formats.state_dict import find_tensors
from lib_upscale.models.formats.zip_archive import DamagedZipError, Member, data_start

if TYPE_CHECKING:
    import torch

__all__ = ["TorchFile", "read_legacy", "read_zip"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_FIRST_CHUNK = 1 << 20
_MAX_REPEATED = 1 << 28
"""Tensors may repeat or share what is stored; so many elements more than are stored, and it is an attack on memory."""


@dataclass(frozen=True)
class Place:
    """Where a storage lies in its file, in bytes."""

    start: int
    size: int


@dataclass(frozen=True)
class TorchFile:
    """The weights that a file of torch describes."""

    path: Path
    tensors: Mapping[str, TensorRef]
    signs: frozenset[str]
    """Names of the globals it mentions and of its outermost entries: what it was made by and for."""
    swapped: bool
    """Whether numbers are stored with their highest byte first."""
    locate: Callable[[BinaryIO, str], Place]
    """Where a storage lies. Raises `DamagedZipError` or `DamagedPickleError`."""

    def load(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """The tensors called `names`, as new CPU tensors; those that share a storage share it again."""
        storages: dict[str, bytearray] = {}
        tensors: dict[str, torch.Tensor] = {}
        with self.path.open("rb") as file:
            for name in names:
                ref = self.tensors[name]
                raw = storages.get(ref.storage.key)
                if raw is None:
                    place = self.locate(file, ref.storage.key)
                    raw = storages[ref.storage.key] = _read(file, place)
                    if self.swapped:
                        _swap(raw, SIZES[ref.storage.dtype or ref.dtype])
                tensors[name] = _view(raw, ref)
        return tensors


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


def _tensors(reading: Reading) -> dict[str, TensorRef]:
    tensors = find_tensors(reading.value)
    stored = sum(numel for _, numel in reading.storages.values())
    if sum(prod(ref.shape) for ref in tensors.values()) > stored + _MAX_REPEATED:
        raise DamagedPickleError("tensors far larger than their data")
    return tensors


def _signs(reading: Reading) -> frozenset[str]:
    value = reading.value
    keys = (str(key) for key in list(value)[:1000]) if type(value) is dict else ()
    return reading.names.union(keys)


def read_zip(path: Path, file: BinaryIO, members: Mapping[str, Member], root: str) -> TorchFile:
    """The weights in a zip archive whose entries lie under `root` ("archive/").

    Raises `UnsafePickleError`, `DamagedPickleError`, `DamagedZipError`.
    """
    reading = interpret(_content(file, members[f"{root}data.pkl"], MAX_BYTES))
    order = members.get(f"{root}byteorder")
    swapped = order is not None and _content(file, order, 100).strip() == b"big"
    room = file.seek(0, SEEK_END)
    for key, (dtype, numel) in reading.storages.items():
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise DamagedZipError("a part of its weights is missing")
        if not member.stored:
            raise DamagedZipError("its weights are compressed, which torch never does")
        if numel * (1 if dtype is None else SIZES[dtype]) > member.size:
            raise DamagedPickleError("a storage that is larger than its data")
        # Members can name the same bytes: by that, a small file would become any amount of memory.
        room -= member.size
        if room < 0:
            raise DamagedZipError("its members are larger than the file")

    def locate(stream: BinaryIO, key: str) -> Place:
        member = members[f"{root}data/{key}"]
        return Place(data_start(stream, member), member.size)

    return TorchFile(path, _tensors(reading), _signs(reading), swapped, locate)


def _content(file: BinaryIO, member: Member, limit: int) -> bytes:
    if not member.stored:
        raise DamagedZipError("its contents are compressed, which torch never does")
    if member.size > limit:
        raise DamagedZipError("its list of weights is too large to be one")
    file.seek(data_start(file, member))
    content = file.read(member.size)
    if len(content) != member.size:
        raise DamagedZipError("it is cut off")
    return content


def read_legacy(path: Path, file: BinaryIO, size: int) -> TorchFile:
    """The weights in a file of torch before 1.6. Raises `UnsafePickleError`, `DamagedPickleError`."""
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

    def locate(stream: BinaryIO, key: str) -> Place:
        return places[key]

    return TorchFile(path, _tensors(reading), _signs(reading), swapped, locate)


def _legacy_pickles(data: bytes) -> tuple[Reading, list[str], bool, int]:
    """Five pickles, one behind the other: a number, a version, the machine, the object, the storages' keys."""
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
    """Where each storage lies: its number of elements, eight bytes, then its data, in the order of `keys`."""
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
