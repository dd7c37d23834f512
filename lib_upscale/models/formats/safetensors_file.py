"""Files in the safetensors format: eight bytes of length, a header in JSON, then the data.

Source of the layout: the format's own documentation (huggingface/safetensors, README).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lib_upscale.models.formats.dtypes import SAFETENSORS_CODES, SIZES, torch_dtype

if TYPE_CHECKING:
    import torch

__all__ = ["DamagedSafetensorsError", "SafetensorsFile", "looks_like_safetensors", "read_safetensors"]

MAX_HEADER = 100 << 20
_MAX_SIDES = 32
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class DamagedSafetensorsError(Exception):
    """No safetensors file, or one that is cut off or contradicts itself. `truncated` says which."""

    def __init__(self, problem: str, truncated: bool = False) -> None:
        super().__init__(problem)
        self.truncated = truncated


class Entry(NamedTuple):
    """One tensor of the header. `start` is in bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class SafetensorsFile:
    """The header of one file."""

    path: Path
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    def load(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """The tensors called `names`, as new CPU tensors. Raises `DamagedSafetensorsError`, `UnknownDtypeError`."""
        import torch

        tensors: dict[str, torch.Tensor] = {}
        with self.path.open("rb") as file:
            for name in names:
                entry = self.entries[name]
                dtype = torch_dtype(entry.dtype)
                if entry.size == 0:
                    tensors[name] = torch.empty(entry.shape, dtype=dtype)
                    continue
                raw = bytearray(entry.size)
                file.seek(entry.start)
                if file.readinto(raw) != entry.size:  # type: ignore[attr-defined]
                    raise DamagedSafetensorsError("it is cut off", truncated=True)
                tensors[name] = torch.frombuffer(raw, dtype=dtype).reshape(entry.shape)
        return tensors


def looks_like_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these (nine or more) bytes claims to be one."""
    return len(start) >= 9 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < (1 << 40)


def read_safetensors(path: Path, file: BinaryIO, size: int) -> SafetensorsFile:
    """Read and check the header; no data is touched. Raises `DamagedSafetensorsError`."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise DamagedSafetensorsError("its list of tensors is too large to be one")
    data_start = 8 + length
    if data_start > size:
        raise DamagedSafetensorsError("it is cut off", truncated=True)
    header = _parse(file.read(length))
    metadata = header.pop("__metadata__", None) or {}
    if type(metadata) is not dict:
        raise DamagedSafetensorsError("its list of tensors is damaged")
    entries: dict[str, Entry] = {}
    end = 0
    for name, raw in header.items():
        entry = _entry(raw, data_start)
        entries[name] = entry
        end = max(end, entry.start + entry.size)
    if end > size:
        raise DamagedSafetensorsError("it is cut off", truncated=True)
    _check_apart(entries.values())
    texts = {key: value for key, value in metadata.items() if type(value) is str}
    return SafetensorsFile(path, entries, texts)


def _check_apart(entries: Iterable[Entry]) -> None:
    """Tensors that share bytes would let a small file become any amount of memory; the format forbids them."""
    end = 0
    for entry in sorted((entry for entry in entries if entry.size), key=lambda entry: entry.start):
        if entry.start < end:
            raise DamagedSafetensorsError("two of its tensors claim the same data")
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
        raise DamagedSafetensorsError("its list of tensors is damaged") from error
    if type(parsed) is not dict:
        raise DamagedSafetensorsError("its list of tensors is damaged")
    return parsed


def _entry(raw: object, data_start: int) -> Entry:
    """One tensor of the header, checked against itself."""
    try:
        code, shape, (begin, end) = raw["dtype"], raw["shape"], raw["data_offsets"]  # type: ignore[index]
        dtype = SAFETENSORS_CODES[code]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedSafetensorsError("its list of tensors is damaged") from error
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end or type(shape) is not list:
        raise DamagedSafetensorsError("its list of tensors is damaged")
    if len(shape) > _MAX_SIDES or not all(type(side) is int and side >= 0 for side in shape):
        raise DamagedSafetensorsError("a tensor of it has an impossible shape")
    if prod(shape) * SIZES[dtype] != end - begin:
        raise DamagedSafetensorsError("a tensor of it has an impossible shape")
    return Entry(dtype, tuple(shape), data_start + begin, end - begin)
