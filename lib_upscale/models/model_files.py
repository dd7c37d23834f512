"""Which files of the model folders may be models: names and stamps alone, no file is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Fingerprint", "file_fingerprint", "model_files"]

Fingerprint = tuple[int, ...]
"""Size in bytes and time of change in nanoseconds, for an ncnn pair of both files; whether aria2 is still at it."""

_SUFFIXES = frozenset(
    {
        # containers that hold upscalers
        ".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param",
        # what people put beside them: named, so that nobody wonders why it isn't offered
        ".onnx", ".gguf", ".zip",
        # what a browser or downloader leaves behind
        ".part", ".partial", ".crdownload", ".download",
    }
)  # fmt: skip


def model_files(folders: Sequence[Path]) -> list[Path]:
    """Every file below `folders` that may be a model, as absolute paths in a stable order.

    Links are followed, each real folder is read once, and a file that is reached twice under one name is given
    once. Names that begin with a dot are left out, with all that lies below. An ncnn pair is given as its `.param`
    file. A folder that is missing or can't be read holds nothing.
    """
    seen_folders: set[str] = set()
    seen_files: set[tuple[str, str]] = set()
    found: list[Path] = []
    for folder in folders:
        for path, is_link in _walk(Path(os.path.abspath(folder)), seen_folders):  # noqa: PTH100 (keeps links)
            # Only a link can lead to a file that has been seen: its folder would have been skipped otherwise.
            real = os.path.realpath(path) if is_link else str(path)
            if (real, path.name) not in seen_files:
                seen_files.add((real, path.name))
                found.append(path)
    return found


def file_fingerprint(path: Path) -> Fingerprint | None:
    """What tells whether a file has changed since it was identified; None if it is gone."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    # aria2 allots the whole file at once and removes its note when all of it is there.
    fingerprint = (status.st_size, status.st_mtime_ns, int(path.with_name(f"{path.name}.aria2").exists()))
    if path.suffix.lower() != ".param":
        return fingerprint
    for suffix in (".bin", ".BIN"):
        with contextlib.suppress(OSError):
            weights = path.with_suffix(suffix).stat()
            return (*fingerprint, weights.st_size, weights.st_mtime_ns)
    return fingerprint


def _walk(folder: Path, seen: set[str]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it is a link) below `folder`; `seen` holds the real paths of folders already read."""
    real = os.path.normcase(os.path.realpath(folder))
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError:
        return
    # Links last: whatever can be reached without one is listed under its own path.
    entries.sort(key=lambda entry: (entry.is_symlink(), entry.name))
    names = {entry.name for entry in entries}
    deeper = []
    for entry in entries:
        if _is_folder(entry):
            deeper.append(entry.name)
        elif _is_candidate(entry.name, names):
            yield folder / entry.name, entry.is_symlink()
    for name in deeper:
        yield from _walk(folder / name, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_candidate(name: str, names: set[str]) -> bool:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a Path for each of thousands of files is slow)
    if suffix.lower() not in _SUFFIXES:
        return False
    return suffix.lower() != ".bin" or not names & {f"{stem}.param", f"{stem}.PARAM"}
