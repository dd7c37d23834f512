"""Identities kept on disk, so that a file is looked into once and a listing needs no torch.

One JSON file. It is only ever replaced as a whole, so that a reader never meets half of it; two processes that
write at once may lose one of the two additions, which costs looking into those files again and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib_upscale.models.identity import Identity, Kind, NetworkFacts, SizeRequirements, TilingSupport
from lib_upscale.models.model_files import Fingerprint

__all__ = ["IdentityCache", "version"]

IDENTITY_VERSION = 1
"""Raise it whenever the code changes what a file is said to be: what was kept by an older version is then read anew."""


def version() -> str:
    """A word that changes whenever the code that identifies files does: ours, spandrel's or its extra package's."""
    digest = hashlib.sha256(str(IDENTITY_VERSION).encode())
    for package in ("spandrel", "spandrel_extra_arches"):
        # The package's first file states its version. Importing it would import torch; reading its metadata is slow.
        digest.update(b"\0" + _first_file(package))
    return digest.hexdigest()[:16]


class IdentityCache:
    """Identities by path, valid as long as a file's stamp stays the same. Without a file it lives in memory."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._version = version()
        self._records = self._read()
        self._added: dict[str, dict[str, Any]] = {}
        self._dropped: set[str] = set()

    def get(self, path: Path, fingerprint: Fingerprint) -> Identity | None:
        """The identity of `path`, if the file is the one that was looked into."""
        record = self._records.get(str(path))
        try:
            if record is None or tuple(record["stamp"]) != fingerprint:
                return None
            return _identity(path, record)
        except (KeyError, TypeError, ValueError, AttributeError):  # a damaged record is no record
            return None

    def put(self, path: Path, fingerprint: Fingerprint, identity: Identity) -> None:
        """Remember an identity; on disk after the next `save`."""
        record = {"stamp": list(fingerprint), **_record(identity)}
        self._records[str(path)] = self._added[str(path)] = record
        self._dropped.discard(str(path))

    def forget(self, keep: Callable[[str], bool]) -> None:
        """Drop all paths that `keep` doesn't want."""
        gone = {path for path in self._records if not keep(path)}
        for path in gone:
            del self._records[path]
            self._added.pop(path, None)
        self._dropped |= gone

    def save(self) -> None:
        """Write what is new. A cache that can't be written is no error: it costs time at the next start."""
        if self._file is None or not (self._added or self._dropped):
            return
        # What another process has written meanwhile stays, but for what this one has looked into itself.
        records = {**self._records, **self._read(), **self._added}
        records = {path: record for path, record in records.items() if path not in self._dropped}
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": self._version, "files": records}, ensure_ascii=True)
            temporary.write_text(text, encoding="ascii")
            temporary.replace(self._file)
            self._added.clear()
            self._dropped.clear()
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

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
