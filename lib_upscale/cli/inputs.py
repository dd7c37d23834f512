"""Turns the inputs of the command line into jobs: an image and the file that its result goes to."""

from __future__ import annotations

import glob
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from lib_upscale.errors import OutputError
from lib_upscale.image.io.formats import (
    SUPPORTED_SUFFIXES,
    WRITABLE_SUFFIXES,
    Format,
    format_of,
    is_picture,
    unreadable_kind,
)

__all__ = ["FileJob", "FileJobs", "Output", "find_jobs", "output_place"]


_OTHER_PLACE = "choose another folder, or add a --suffix such as -x4"


@dataclass(frozen=True)
class FileJob:
    """One image and the file that its result goes to."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Output:
    """Where results go: into one `file`, or into `folder` under names of their own."""

    folder: Path
    file: Path | None = None
    suffix: str = ""
    """What is added to each name, before its ending."""
    format: Format | None = None
    """None keeps each image's own format if it can be written, else takes PNG."""

    def path_for(self, relative: Path) -> Path:
        """The result of an image that lies at `relative` below an input."""
        if self.file is not None:
            return self.file
        ending = f".{self.format.value}" if self.format else relative.suffix
        if ending.lower() not in WRITABLE_SUFFIXES:
            ending = ".png"
        return self.folder / relative.with_name(f"{relative.stem}{self.suffix}{ending}")


@dataclass(frozen=True)
class FileJobs:
    """The jobs, the inputs that gave none, and the files in folders that are no jobs."""

    jobs: tuple[FileJob, ...]
    missing: tuple[tuple[str, str], ...]
    """Each with the reason."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Each with the reason, which is "" for a file that is no image."""
    refused: tuple[tuple[FileJob, str], ...] = ()
    """Jobs that are not done, each with the reason."""
    renamed: tuple[FileJob, ...] = ()
    """Those of the jobs whose result is not called as their image, since that is the name of another result."""


def output_place(inputs: Sequence[str], out: str, suffix: str, format: Format | None) -> Output:
    """A file if `out` has the suffix of an image and there is one input that is not a folder; else a folder.

    Raises `OutputError` where `out` can be neither.
    """
    path = Path(out)
    if {"/", os.sep} & set(suffix):
        raise OutputError(Path(suffix), "is no suffix for a name", "name the folder with --output")
    _check_folder(path)
    is_folder = _is_folder(path) or out.endswith(("/", os.sep))
    if path.suffix.lower() in SUPPORTED_SUFFIXES and len(inputs) == 1 and not is_folder and _is_one_file(inputs[0]):
        written = format_of(path)
        if format not in (None, written):
            raise OutputError(path, f"has the suffix of another format than {format.value}", "keep one of the two")
        return Output(path.parent, path)
    if os.path.lexists(path) and not _is_folder(path):
        raise OutputError(path, "is a file, not a folder for the results", "name a folder or a file such as out.png")
    return Output(path, None, suffix, format)


def _check_folder(path: Path) -> None:
    """Raise `OutputError` if nothing can be written at or below `path`, as far as that is known without trying."""
    there = next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path())
    if there != path and not _is_folder(there):
        raise OutputError(path, f"can't be written, {there} is a file, not a folder", "name another one")
    if _is_folder(there) and not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(path, f"can't be written, {there} does not allow it", "choose another folder")


def find_jobs(
    inputs: Sequence[str], output: Output, is_result: Callable[[Path], bool] = lambda path: False
) -> FileJobs:
    """Find every image of the inputs, in their order.

    Args:
        inputs: Files, folders and patterns. Below a folder, names that begin with a dot are left out, and so is the
            folder of the results. The tree of a folder, and that below the fixed part of a pattern, is kept.
        output: Where results go.
        is_result: Whether a file is an earlier result, which is left out too.

    Raises:
        OutputError: Every result would replace one of the images.
    """
    jobs: dict[tuple[str, str], FileJob] = {}
    missing = []
    left_out: dict[str, str] = {}
    for name in inputs:
        found = 0
        for source, relative in _find_images(name, output.folder, is_result):
            reason = _reason_to_leave_out(source, name)
            if reason is not None:
                left_out[str(source)] = reason
                continue
            job = FileJob(source, output.path_for(relative))
            jobs.setdefault((_key(source), _key(job.output)), job)
            found += 1
        if not found:
            missing.append((name, _explain_nothing(name)))
    distinct = _give_distinct_names(list(jobs.values()))
    refused = _find_replacing(distinct)
    if refused and len(refused) == len(distinct):
        job, reason = refused[0]
        raise OutputError(job.output, reason, _OTHER_PLACE)
    not_done, as_found = {job for job, _ in refused}, set(jobs.values())
    left = [job for job in distinct if job not in not_done]
    return FileJobs(
        tuple(left),
        tuple(missing),
        tuple(left_out.items()),
        tuple((job, f"{job.output.name} {reason}: {_OTHER_PLACE}") for job, reason in refused),
        tuple(job for job in left if job not in as_found),
    )


def _find_images(name: str, results: Path, is_result: Callable[[Path], bool]) -> Iterator[tuple[Path, Path]]:
    """Yield each file that may be an image, and its path below the input."""
    path = Path(name)
    if _is_folder(path):
        yield from _find_below(path, results, is_result)
    elif os.path.lexists(path):
        yield path, Path(path.name)
    elif glob.has_magic(name):
        root = _fixed_part(name)
        for match in sorted(_matches(name)):
            file = Path(match)
            if file.is_file() and is_picture(file) and not is_result(file):
                yield file, Path(os.path.relpath(file, root))


def _find_below(folder: Path, results: Path, is_result: Callable[[Path], bool]) -> Iterator[tuple[Path, Path]]:
    here = _key(folder)
    for current, folders, files in os.walk(folder):
        place = Path(current)
        # Results among the sources would be enlarged again at the next run.
        skipped = {name for name in folders if name.startswith(".") or here != _key(results) == _key(place / name)}
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in sorted(files):
            file = place / name
            if not name.startswith(".") and not is_result(file):
                yield file, file.relative_to(folder)


def _reason_to_leave_out(file: Path, name: str) -> str | None:
    """Why a file in the folder `name` is not upscaled, "" for one that is no image; None if it is."""
    if not _is_folder(Path(name)) or is_picture(file):
        return None
    return unreadable_kind(file) or ""


def _fixed_part(pattern: str) -> Path:
    """The folder at which a pattern starts: what exists under its very name, brackets included."""
    parts = Path(pattern).parts
    fixed = 0
    while fixed < len(parts) - 1 and _is_folder(Path(*parts[: fixed + 1])):
        fixed += 1
    return Path(*parts[:fixed]) if fixed else Path()


def _matches(pattern: str) -> list[str]:
    root = _fixed_part(pattern)
    rest = Path(pattern).parts[len(root.parts) :]
    return glob.glob(os.path.join(glob.escape(str(root)), *rest), recursive=True)  # noqa: PTH118, PTH207


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises for a name that is too long)


def _is_one_file(name: str) -> bool:
    if os.path.lexists(name) or not glob.has_magic(name):
        return not _is_folder(Path(name))
    return len(_matches(name)) == 1


def _explain_nothing(name: str) -> str:
    if _is_folder(Path(name)):
        return "contains no images"
    return "matches no image" if glob.has_magic(name) else "does not exist"


def _give_distinct_names(jobs: Sequence[FileJob]) -> list[FileJob]:
    """Add to the names of results that two images would have: the image's ending, else its folder, else a number.

    The names of others do not change by that, so that running the command again finds what is done.
    """
    for rename in (_add_ending, _add_folder):
        keys = [_key(job.output) for job in jobs]
        counts = Counter(keys)
        jobs = [rename(job) if counts[key] > 1 else job for job, key in zip(jobs, keys, strict=True)]
    distinct: dict[str, FileJob] = {}
    for job in jobs:
        names = chain([job.output.stem], (f"{job.output.stem}-{number}" for number in count(2)))
        outputs = (job.output.with_name(f"{name}{job.output.suffix}") for name in names)
        key, output = next((key, output) for output in outputs if (key := _key(output)) not in distinct)
        distinct[key] = replace(job, output=output)
    return list(distinct.values())


def _add_ending(job: FileJob) -> FileJob:
    """a.jpg beside a.png, both written as PNG: a-jpg.png."""
    ending = job.source.suffix[1:]
    return job if ending.lower() == job.output.suffix[1:].lower() else _add_to_name(job, ending)


def _add_folder(job: FileJob) -> FileJob:
    return _add_to_name(job, Path(os.path.realpath(job.source)).parent.name)


def _add_to_name(job: FileJob, part: str) -> FileJob:
    name = f"{job.output.stem}-{part}{job.output.suffix}" if part else job.output.name
    return replace(job, output=job.output.with_name(name))


def _find_replacing(jobs: Sequence[FileJob]) -> list[tuple[FileJob, str]]:
    """The jobs whose result would replace one of the images, with what to say."""
    sources = {_key(job.source): job.source for job in jobs}
    return [
        (job, f"would replace the image {source}, which is never overwritten")
        for job in jobs
        if (source := sources.get(_key(job.output))) is not None
    ]


def _key(path: Path) -> str:
    """The same text for all paths of one file: links resolved, and letters as the system compares them."""
    real = os.path.normcase(os.path.realpath(path))
    if sys.platform in ("darwin", "win32"):
        real = unicodedata.normalize("NFC", real).casefold()
    return real
