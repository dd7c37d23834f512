"""Finds the files of the model folders that may be models, by their names alone: no file is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Fingerprint", "file_fingerprint", "find_model_files", "folder_time"]

Fingerprint = tuple[int, ...]
"""Size in bytes and time of change in nanoseconds, for an ncnn pair of both files; whether aria2 still writes it."""

_MODELS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param")
_OTHERS = (".onnx", ".gguf", ".zip")
"""Files that people put with them: listed, so that nobody wonders why one isn't offered."""
_UNFINISHED = (".part", ".partial", ".crdownload", ".download")
"""Left behind by a browser or a downloader."""
_SUFFIXES = frozenset((*_MODELS, *_OTHERS, *_UNFINISHED))


def find_model_files(folders: Sequence[Path], visited: dict[str, int | None] | None = None) -> list[Path]:
    """Find every file below `folders` that may be a model.

    Links are followed, each real folder is read once, and a file that is reached twice under one name is listed once.
    Names that begin with a dot are left out, with all that is below them. A folder that is missing or can't be read
    holds nothing.

    Args:
        folders: Where to look.
        visited: The real paths of all folders that were looked into, or were not there, are put into it, with their
            `folder_time` before that.

    Returns:
        Absolute paths in a stable order; for an ncnn pair its `.param` file.
    """
    seen_folders: dict[str, int | None] = {} if visited is None else visited
    seen_files: set[tuple[str, str]] = set()
    files: list[Path] = []
    for folder in folders:
        for path, is_link in _walk(Path(os.path.abspath(folder)), seen_folders):  # noqa: PTH100 (keeps links)
            # Only a link can lead to a file that has been seen: its folder would have been skipped otherwise.
            real = os.path.realpath(path) if is_link else str(path)
            if (real, path.name) not in seen_files:
                seen_files.add((real, path.name))
                files.append(path)
    return files


def file_fingerprint(path: Path) -> Fingerprint | None:
    """Get what tells whether a file has changed since it was identified; None if it is gone."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    # aria2 allocates the whole file at once and removes its control file when all of it is there.
    fingerprint = (status.st_size, status.st_mtime_ns, int(path.with_name(f"{path.name}.aria2").exists()))
    if path.suffix.lower() != ".param":
        return fingerprint
    for suffix in (".bin", ".BIN"):
        with contextlib.suppress(OSError):
            weights = path.with_suffix(suffix).stat()
            return (*fingerprint, weights.st_size, weights.st_mtime_ns)
    return fingerprint


def folder_time(folder: str | Path) -> int | None:
    """Get when a file was last added to or removed from a folder, in nanoseconds; None if it is not there."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116
    except OSError:
        return None


def _walk(folder: Path, seen: dict[str, int | None]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it is a link) below `folder`; `seen` holds the folders already read, as `visited` above."""
    real = os.path.normcase(os.path.realpath(folder))
    if real in seen:
        return
    seen[real] = folder_time(real)
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
