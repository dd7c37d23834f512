"""Finished tiles on disk, so that a redraw that was interrupted, killed or crashed goes on where it stopped.

A job has a folder of its own in a folder that the caller names. Each finished tile is one file that appears whole or
not at all and carries its checksum; a file that does not match it counts as not there. The folder goes when the job
has succeeded, and the oldest folders go when all of them together become too large.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError
from lib_upscale.redrawing.tiles.filters import Pixels, Plane
from lib_upscale.settings.redraw import RedrawSettings

__all__ = ["DEFAULT_LIMIT", "JobKey", "Journal", "UnfinishedJob", "find_unfinished", "job_key"]

DEFAULT_LIMIT = 8 << 30
"""Bytes that all jobs together may take: a tile of 576x576 takes 2 MB."""

_FORMAT = 1
_MAGIC = b"redraw-tile\x00"
_FOLDER = re.compile(r"^(?P<base>[0-9a-f]{40})-(?P<seed>-?\d+)$")
_NAME = re.compile(r"^[a-z0-9-]+$")


@dataclass(frozen=True)
class JobKey:
    """What a job is. Equal keys give equal tiles.

    `base` is everything but the seed, so that a job started with a random seed can be found and its seed restored.
    """

    base: str
    seed: int

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.base}-{self.seed}"


def job_key(
    pixels: Pixels, mask: Plane | None, settings: RedrawSettings, seed: int, identity: Mapping[str, Any]
) -> JobKey:
    """Make the key of a job.

    Args:
        pixels: The picture before it is enlarged, (height, width, 3), 0..1.
        mask: (height, width), or None.
        settings: What is asked for; settings that change no tile do not count.
        seed: The resolved one, never -1.
        identity: Whatever else decides what a tile looks like, as plain JSON values: hashes of checkpoint, VAE and
            networks, prompts, sampler, steps, denoising strength, ControlNet units.
    """
    parts = {
        "format": _FORMAT,
        "picture": _digest(pixels),
        "mask": None if mask is None else _digest(mask),
        "settings": settings.deciding_values(),
        "identity": dict(identity),
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return JobKey(hashlib.sha256(text.encode()).hexdigest()[:40], seed)


def _digest(values: NDArray[Any]) -> str:
    hashed = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    hashed.update(np.ascontiguousarray(values).view(np.uint8).data)
    return hashed.hexdigest()


@dataclass(frozen=True)
class UnfinishedJob:
    """A job that was not finished: its seed, and how many tiles of it are done."""

    key: JobKey
    tiles: int


def find_unfinished(root: Path, base: str) -> list[UnfinishedJob]:
    """Find jobs with that `JobKey.base` and any seed that have finished tiles, the one touched last first."""
    candidates = []
    for folder, key in _jobs(root):
        tiles = sum(1 for _ in folder.glob("*.tile"))
        if key.base == base and tiles:
            candidates.append((folder.stat().st_mtime, UnfinishedJob(key, tiles)))
    return [job for _, job in sorted(candidates, key=lambda item: -item[0])]


def _jobs(root: Path) -> Iterator[tuple[Path, JobKey]]:
    with contextlib.suppress(FileNotFoundError):
        for folder in root.iterdir():
            match = _FOLDER.match(folder.name)
            if match and folder.is_dir() and not folder.is_symlink():
                yield folder, JobKey(match["base"], int(match["seed"]))


class Journal:
    """The finished tiles of one job. A full or read-only disk ends the journal, not the redraw: see `problem`."""

    def __init__(self, root: Path, key: JobKey, limit: int = DEFAULT_LIMIT) -> None:
        self._root, self._folder, self._limit = root, root / key.folder, limit
        self.problem = ""
        """Why tiles are no longer kept, or ""."""
        for part in self._folder.glob(".*.part"):  # what a killed run left half written
            part.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many tiles are kept, damaged ones included."""
        return sum(1 for _ in self._folder.glob("*.tile"))

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint16] | None:
        """Return the tile kept under that name; None if there is none, it is damaged, or has another shape."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        tile = _unpack(data)
        if tile is None or tile.shape != shape:
            path.unlink(missing_ok=True)
            return None
        return tile

    def put(self, name: str, tile: NDArray[np.uint16]) -> None:
        """Keep a finished tile, (height, width, 3). Afterwards it is on the disk, or `problem` says why not."""
        if self.problem:
            return
        data = _pack(tile)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._room_for(len(data)):
                self.problem = f"Finished tiles take more than {self._limit >> 20} MB, no more of them are kept"
                return
            with atomic_file(self._path(name)) as stream:
                stream.write(data)
        except (OSError, OutputError) as error:
            self.problem = f"Finished tiles can't be kept ({error})"

    def discard(self) -> None:
        """Forget the job's tiles: it has succeeded, or is to start again."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ValueError(f"'{name}' is not a valid name of a tile")
        return self._folder / f"{name}.tile"

    def _room_for(self, size: int) -> bool:
        """Make room by deleting other jobs, those not touched for longest first."""
        own = _bytes_in(self._folder) + size
        others = sorted((f for f, _ in _jobs(self._root) if f != self._folder), key=lambda f: f.stat().st_mtime)
        sizes = {folder: _bytes_in(folder) for folder in others}
        for folder in others:
            if own + sum(sizes.values()) <= self._limit:
                break
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]
        return own <= self._limit


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _pack(tile: NDArray[np.uint16]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(tile, dtype="<u2"), allow_pickle=False)
    payload = stream.getvalue()
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _unpack(data: bytes) -> NDArray[np.uint16] | None:
    start = len(_MAGIC) + 32
    payload = data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != data[len(_MAGIC) : start]:
        return None
    with contextlib.suppress(ValueError, OSError, EOFError):
        tile = np.load(io.BytesIO(payload), allow_pickle=False)
        if tile.dtype == np.dtype("<u2"):
            return np.asarray(tile, dtype=np.uint16)
    return None
