"""Reads safetensors files: eight bytes of length, a header in JSON, then the data.

The package `safetensors` reads the same. Kept apart from it, because `safe_open` keeps a file mapped for as long as
any of its tensors lives (it then cannot be replaced on Windows, and the tensors change with it), and because its
errors do not tell a download that was cut off from a damaged header.

Source of the layout: the format's own documentation (huggingface/safetensors, README).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lib_upscale.models.formats.checkpoint import (
    Checkpoint,
    CheckpointFormat,
    Container,
    DamagedContentError,
    TensorInfo,
)
from lib_upscale.models.formats.dtypes import SAFETENSORS_CODES, SIZES, torch_dtype
from lib_upscale.models.formats.state_dict import strip_prefixes

if TYPE_CHECKING:
    import torch

__all__ = ["SAFETENSORS"]

MAX_HEADER = 100 << 20
_MAX_SIDES = 32
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class HeaderEntry(NamedTuple):
    """One tensor of the header. `start` is in bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def _matches(head: bytes, path: Path) -> bool:
    return len(head) >= 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < (1 << 40)


def _read(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    """Read and check the header; no data is touched. Raises `DamagedContentError`."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise DamagedContentError("its list of tensors is too large to be one")
    data_start = 8 + length
    if data_start > size:
        raise DamagedContentError("it is cut off")
    header = _parse(file.read(length))
    metadata = header.pop("__metadata__", None) or {}
    if type(metadata) is not dict:
        raise DamagedContentError("its list of tensors is damaged")
    stored = {name: _entry(raw, data_start) for name, raw in header.items()}
    if any(entry.start + entry.size > size for entry in stored.values()):
        raise DamagedContentError("it is cut off")
    _check_apart(stored.values())
    entries = strip_prefixes(stored)

    def load(names: Iterable[str]) -> dict[str, torch.Tensor]:
        with path.open("rb") as stream:
            return {name: _load(stream, entries[name]) for name in names}

    return Checkpoint(
        path,
        Container.SAFETENSORS,
        {name: TensorInfo(entry.shape, entry.dtype) for name, entry in entries.items()},
        load,
        {key: value for key, value in metadata.items() if type(value) is str},
    )


def _load(file: BinaryIO, entry: HeaderEntry) -> torch.Tensor:
    import torch

    dtype = torch_dtype(entry.dtype)
    if entry.size == 0:
        return torch.empty(entry.shape, dtype=dtype)
    raw = bytearray(entry.size)
    file.seek(entry.start)
    if file.readinto(raw) != entry.size:  # type: ignore[attr-defined]
        raise DamagedContentError("it is cut off")
    return torch.frombuffer(raw, dtype=dtype).reshape(entry.shape)


def _check_apart(entries: Iterable[HeaderEntry]) -> None:
    """Tensors that share bytes would let a small file become any amount of memory; the format forbids them."""
    end = 0
    for entry in sorted((entry for entry in entries if entry.size), key=lambda entry: entry.start):
        if entry.start < end:
            raise DamagedContentError("two of its tensors claim the same data")
        end = entry.start + entry.size


def _parse(raw: bytes) -> dict[str, Any]:
    """JSON of the header. Numbers of more digits than any file has bytes are refused, not computed."""

    def number(text: str) -> int:
        if len(text) > 20:
            raise ValueError("a number that is too long")
        return int(text)

    try:
        # Python itself refuses such numbers since 3.10.7; before, reading one could take hours.
        guarded = hasattr(sys, "get_int_max_str_digits") or not _LONG_NUMBER.search(raw)
        parsed = json.loads(raw) if guarded else json.loads(raw, parse_int=number)
    except (ValueError, RecursionError) as error:
        raise DamagedContentError("its list of tensors is damaged") from error
    if type(parsed) is not dict:
        raise DamagedContentError("its list of tensors is damaged")
    return parsed


def _entry(raw: object, data_start: int) -> HeaderEntry:
    """One tensor of the header, checked against itself."""
    try:
        code, shape, (begin, end) = raw["dtype"], raw["shape"], raw["data_offsets"]  # type: ignore[index]
        dtype = SAFETENSORS_CODES[code]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedContentError("its list of tensors is damaged") from error
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end or type(shape) is not list:
        raise DamagedContentError("its list of tensors is damaged")
    if len(shape) > _MAX_SIDES or not all(type(side) is int and side >= 0 for side in shape):
        raise DamagedContentError("a tensor of it has an impossible shape")
    if prod(shape) * SIZES[dtype] != end - begin:
        raise DamagedContentError("a tensor of it has an impossible shape")
    return HeaderEntry(dtype, tuple(shape), data_start + begin, end - begin)


SAFETENSORS = CheckpointFormat(_matches, _read)
