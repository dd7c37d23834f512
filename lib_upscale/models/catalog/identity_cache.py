"""Keeps identities on disk, so that a file is identified once and a listing needs no torch.

One JSON file, written atomically. Two processes that write at once may lose one of the two additions, which costs
identifying those files again and nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError
from lib_upscale.models.identity import Identity, Kind, NetworkFacts, SizeRequirements, TilingSupport
from lib_upscale.models.model_files import Fingerprint

__all__ = ["IDENTITY_VERSION", "IdentityCache"]

IDENTITY_VERSION = 2
"""Raise it with every change of what a file is identified as: records of an older version are then read anew."""


def _version() -> str:
    """A word that changes with `IDENTITY_VERSION` and with the packages that networks come from."""
    digest = hashlib.sha256(str(IDENTITY_VERSION).encode())
    for package in ("spandrel", "spandrel_extra_arches", "resselt"):
        # The package's first file states its version. Importing it would import torch; reading its metadata is slow.
        digest.update(b"\0" + _first_file(package))
    digest.update(_metadata_name("resselt"))  # whose first file does not
    return digest.hexdigest()[:16]


class IdentityCache:
    """Identities by path, each valid as long as the file's fingerprint is the same. In memory where `file` is None."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._version = _version()
        self._records = self._read()
        self._added: dict[str, dict[str, Any]] = {}
        self._dropped: set[str] = set()

    def get(self, path: Path, fingerprint: Fingerprint) -> Identity | None:
        """Return the identity of `path`, if the file is the one that was identified."""
        record = self._records.get(str(path))
        try:
            if record is None or tuple(record["fingerprint"]) != fingerprint:
                return None
            return _identity(path, record)
        except (KeyError, TypeError, ValueError, AttributeError):  # a damaged record is no record
            return None

    def put(self, path: Path, fingerprint: Fingerprint, identity: Identity) -> None:
        """Remember an identity; on disk after the next `save`."""
        record = {"fingerprint": list(fingerprint), **_record(identity)}
        self._records[str(path)] = self._added[str(path)] = record
        self._dropped.discard(str(path))

    def forget(self, keep: Callable[[str], bool]) -> None:
        """Drop all paths that `keep` doesn't want."""
        dropped = {path for path in self._records if not keep(path)}
        for path in dropped:
            del self._records[path]
            self._added.pop(path, None)
        self._dropped |= dropped

    def save(self) -> None:
        """Write what is new. A cache that can't be written is no error: it costs time at the next start."""
        if self._file is None or not (self._added or self._dropped):
            return
        # What another process has written meanwhile stays, but for what this one has identified itself.
        records = {**self._records, **self._read(), **self._added}
        records = {path: record for path, record in records.items() if path not in self._dropped}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": self._version, "files": records}, ensure_ascii=True)
            with atomic_file(self._file) as stream:
                stream.write(text.encode("ascii"))
        except (OSError, OutputError):
            return
        self._added.clear()
        self._dropped.clear()

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_bytes())
            if content["version"] != self._version:
                return {}
            return {path: record for path, record in content["files"].items() if isinstance(record, dict)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def _first_file(package: str) -> bytes:
    try:
        spec = importlib.util.find_spec(package)
        return Path(spec.origin).read_bytes() if spec and spec.origin else b""
    except (OSError, ImportError, ValueError):
        return b""


def _metadata_name(package: str) -> bytes:
    """The name of the folder with the package's metadata, which has its version."""
    try:
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parents[1] if spec and spec.origin else None
        return " ".join(path.name for path in folder.glob(f"{package}-*.dist-info")).encode() if folder else b""
    except (OSError, ImportError, ValueError):
        return b""


def _record(identity: Identity) -> dict[str, Any]:
    values = dataclasses.asdict(identity)
    del values["path"]  # it is the key
    return values


def _identity(path: Path, record: Mapping[str, Any]) -> Identity:
    text = {name: _text(record[name]) for name in ("architecture", "problem", "advice")}
    return Identity(path=path, kind=Kind(record["kind"]), network=_network(record["network"]), **text)


def _network(record: Mapping[str, Any] | None) -> NetworkFacts | None:
    if record is None:
        return None
    values = dict(record)
    requirements = SizeRequirements(**values.pop("size_requirements"))
    return NetworkFacts(
        tags=tuple(values.pop("tags")),
        tiling=TilingSupport(values.pop("tiling")),
        size_requirements=requirements,
        **values,
    )


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value
