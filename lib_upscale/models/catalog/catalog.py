"""Lists the models in a user's folders with what they are. Files that are already known need no torch."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_upscale.errors import FileError, UnknownModelError
from lib_upscale.models.catalog.identity_cache import IdentityCache
from lib_upscale.models.identity import Identity, Kind
from lib_upscale.models.model_files import file_fingerprint, find_model_files, folder_time
from lib_upscale.progress import SILENT, Progress, check

__all__ = ["Catalog", "Entry", "unique_names"]

_SAVED_EVERY = 10.0
"""Seconds after which new identities are written while more are being found out."""


@dataclass(frozen=True)
class Entry:
    """One file of the catalog, or one ncnn pair."""

    name: str
    """What people call it: the file's name without its ending, made unique. The same at every start."""
    path: Path
    """Absolute; for an ncnn pair the `.param` file."""
    identity: Identity


class Catalog:
    """All model files below some folders, with what they are. Safe to use from several threads.

    Nothing is read before the first question.

    Args:
        folders: Those that do not exist are passed over.
        cache: The file in which identities are kept; without one they are kept as long as the catalog.
        bundled: Whether the default models are in it, if their package is installed.
    """

    def __init__(self, folders: Sequence[Path], *, cache: Path | None = None, bundled: bool = True) -> None:
        self.folders = tuple(Path(folder) for folder in folders)
        self._cache_file = cache
        self._with_bundled = bundled
        self._lock = threading.RLock()
        self._refreshing = threading.RLock()
        """Held for as long as the folders are read and new files identified, which others need not wait for."""
        self._cache: IdentityCache | None = None
        self._entries: tuple[Entry, ...] | None = None
        self._folder_times: dict[str, int | None] = {}

    def entries(self) -> tuple[Entry, ...]:
        """List every file, usable or not, by name. The folders are read at the first call.

        While another thread reads them for the first time, these are the files that are known already.
        """
        with self._lock:
            known = self._entries
        if known is not None:
            return known
        with self._refreshing:
            return self._refresh(SILENT) if self._entries is None else self._entries

    @property
    def known(self) -> tuple[Entry, ...]:
        """What `entries` would list, as far as it is known now: nothing before the folders were read."""
        return self._entries or ()

    def seems_unchanged(self) -> bool:
        """Whether no file was added to or removed from the folders since they were read; a file may have changed."""
        return bool(self._folder_times) and all(folder_time(path) == at for path, at in self._folder_times.items())

    def upscalers(self) -> tuple[Entry, ...]:
        """List the entries that can enlarge or clean an image, by name."""
        return tuple(entry for entry in self.entries() if entry.identity.usable)

    def refresh(self, progress: Progress = SILENT) -> tuple[Entry, ...]:
        """Read the folders again: new, changed and removed files are seen, the rest is taken from the cache.

        Args:
            progress: Hears of every file that must be identified, which takes up to 1.5 s each.

        Raises:
            CancelledError: `progress` asked for it; the files identified until then are kept.
        """
        with self._refreshing:
            return self._refresh(progress)

    def _refresh(self, progress: Progress) -> tuple[Entry, ...]:
        defaults = _list_bundled() if self._with_bundled else {}
        visited: dict[str, int | None] = {}
        bundled = set(defaults.values())
        files = [path for path in find_model_files(self.folders, visited) if path not in bundled]
        self._folder_times = visited
        names = {**unique_names(files, taken=set(defaults)), **{path: name for name, path in defaults.items()}}
        found = {path: identity for path in names if (identity := self._recall(path)) is not None}
        self._publish(names, found, complete=len(found) == len(names))
        unknown, saved = [path for path in names if path not in found], time.monotonic()
        try:
            for number, path in enumerate(unknown, start=1):
                check(progress)
                progress.report((number - 1) / len(unknown), f"Identifying {path.name} ({number} of {len(unknown)})")
                found[path] = self._identify(path)
                if time.monotonic() - saved > _SAVED_EVERY:
                    self._save()
                    saved = time.monotonic()
            self._forget_removed(names)
        finally:
            self._save()  # also when interrupted: the next start continues with the files that are left
        return self._publish(names, found, complete=True)

    def _publish(self, names: dict[Path, str], found: dict[Path, Identity], *, complete: bool) -> tuple[Entry, ...]:
        entries = [Entry(names[path], path, identity) for path, identity in found.items()]
        ordered = tuple(sorted(entries, key=lambda entry: (entry.name.casefold(), entry.name)))
        with self._lock:
            if complete or self._entries is None:
                self._entries = ordered
        return ordered

    def find(self, name: str) -> Entry:
        """Find the usable model of that name, or in the file of that path.

        A name matches exactly, else whatever its case, else with its file's ending or with other spaces, dashes and
        underscores, if it fits only one model.

        Raises:
            UnknownModelError: There is no such model, or several; the error has the nearest names.
            ModelFileError: The file can't upscale.
        """
        entry = self._resolve(name)
        if not entry.identity.usable:
            from lib_upscale.models.identification.identifier import problem_of

            raise problem_of(entry.identity)
        return entry

    def _resolve(self, name: str) -> Entry:
        entries = self.entries()
        matches: list[Entry] = [entry for entry in entries if entry.name == name]
        if not matches and os.path.isfile(name):  # noqa: PTH113 (Path.is_file raises for names too long)
            return self._entry_at(Path(os.path.abspath(name)))  # noqa: PTH100 (keeps links)
        for key in (str.casefold, _loose):
            matches = matches or _matches(entries, name, key)
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = " or ".join(f"'{entry.name}'" for entry in matches)
            names = tuple(entry.name for entry in matches)
            raise UnknownModelError(name, names, f"several come close, write {listed}")
        raise self._unknown(name)

    def _entry_at(self, path: Path) -> Entry:
        if path.suffix.lower() == ".bin" and path.with_suffix(".param").is_file():
            path = path.with_suffix(".param")
        known = next((entry for entry in self.entries() if entry.path == path), None)
        if known is not None and self._open_cache().get(path, file_fingerprint(path) or ()) is not None:
            return known
        entry = Entry(known.name if known else path.stem, path, self._identify(path))
        self._save()
        return entry

    def _unknown(self, name: str) -> UnknownModelError:
        usable = [entry.name for entry in self.upscalers()]
        if usable:
            return UnknownModelError(name, _nearest(name, usable), "")
        where = ", ".join(str(folder) for folder in self.folders) or "no folder"
        return UnknownModelError(name, (), f"no upscaler was found in {where}")

    def _recall(self, path: Path) -> Identity | None:
        """What the cache has of a file, or that it is gone; None where it must be identified."""
        fingerprint = file_fingerprint(path)
        if fingerprint is None:
            return _unreadable(path, "is missing or can't be read")
        with self._lock:
            return self._open_cache().get(path, fingerprint)

    def _identify(self, path: Path) -> Identity:
        """Take it from the cache, else from the file; whatever goes wrong with one file is that file's problem."""
        known, fingerprint = self._recall(path), file_fingerprint(path)
        if known is not None:
            return known
        # Imported here and not above: it imports torch, which a listing of known files does without.
        from lib_upscale.models.identification.identifier import identify

        try:
            identity = identify(path)
        except FileError as error:
            return _unreadable(path, error.problem.removeprefix(f"{error.path.name} "))
        except Exception as error:  # a flaw in reading one file must not hide all the others
            return _unreadable(path, f"could not be identified ({type(error).__name__}: {error})")
        if fingerprint is not None:
            with self._lock:
                self._open_cache().put(path, fingerprint, identity)
        return identity

    def _save(self) -> None:
        with self._lock:
            self._open_cache().save()

    def _open_cache(self) -> IdentityCache:
        with self._lock:
            if self._cache is None:
                self._cache = IdentityCache(self._cache_file)
            return self._cache

    def _forget_removed(self, present: Iterable[Path]) -> None:
        here = {str(path) for path in present}
        below = tuple(os.path.join(os.path.abspath(folder), "") for folder in self.folders)  # noqa: PTH100, PTH118
        with self._lock:
            self._open_cache().forget(lambda path: path in here or not path.startswith(below))


def _list_bundled() -> dict[str, Path]:
    from lib_upscale.models.catalog.bundled import bundled_models

    return {model.name: model.path for model in bundled_models()}


def _unreadable(path: Path, problem: str) -> Identity:
    advice = "check that the file is there and that you may read it, then refresh the list"
    return Identity(path, Kind.UNKNOWN, problem=problem, advice=advice)


def unique_names(files: Sequence[Path], taken: set[str]) -> dict[Path, str]:
    """Give each path a name of its own that depends on the paths alone, not on their order."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[path.stem].append(path)
    names: dict[Path, str] = {}
    used = taken | {stem for stem, paths in groups.items() if len(paths) == 1}
    for stem in sorted(groups):
        paths = groups[stem]
        if len(paths) == 1 and stem not in taken:
            names[paths[0]] = stem
            continue
        for qualified in _qualify(paths):
            candidates = {path: f"{stem} ({words})" for path, words in zip(paths, qualified, strict=True)}
            if len(set(candidates.values())) == len(paths) and not used & set(candidates.values()):
                break
        names.update(candidates)
        used |= set(candidates.values())
    return names


def _qualify(paths: Sequence[Path]) -> Iterable[list[str]]:
    """Words that tell files of one name apart: the shortest first, whole paths last, which always do."""
    yield [path.parent.name for path in paths]
    yield [path.suffix.removeprefix(".") for path in paths]
    depth = max(len(path.parts) for path in paths)
    for levels in range(1, depth):
        yield [f"{'/'.join(path.parts[:-1][-levels:])}, {path.suffix.removeprefix('.')}" for path in paths]
    yield [str(path) for path in paths]


def _matches(entries: Sequence[Entry], name: str, key: Callable[[str], str]) -> list[Entry]:
    """Entries whose name or file name is `name` under `key`; where some of them are usable, those alone."""
    wanted = key(name)
    matches = [entry for entry in entries if wanted in (key(entry.name), key(entry.path.name))]
    return [entry for entry in matches if entry.identity.usable] or matches


def _loose(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " _-")


def _nearest(name: str, names: Sequence[str]) -> tuple[str, ...]:
    from difflib import SequenceMatcher

    wanted = _loose(name)

    def likeness(candidate: str) -> float:
        key = _loose(candidate)
        inside = wanted in key or key in wanted
        return SequenceMatcher(None, wanted, key).ratio() + (0.5 if inside and wanted else 0.0)

    ranked = sorted(names, key=lambda candidate: (-likeness(candidate), candidate))
    return tuple(candidate for candidate in ranked[:3] if likeness(candidate) >= 0.4)
