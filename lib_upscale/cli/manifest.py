"""Records what was made in a folder of results, so that running the same command again only does what is left.

The manifest is one hidden file in that folder, a JSON object a line, only ever appended to. It is not kept in the
results: BMP and GIF have no place for it, people strip metadata, and an image should not carry what only this program
needs. Nor is it kept among the user's caches: a folder of results may lie on another machine's disk, be moved, or
outlive the container that filled it, and its manifest goes with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from enum import Enum
from pathlib import Path
from typing import Any

from lib_upscale.atomic_file import check_place
from lib_upscale.cli.inputs import FileJob
from lib_upscale.errors import OutputError

__all__ = ["MANIFEST_NAME", "Manifest", "State"]

MANIFEST_NAME = ".upscale-plus.jsonl"


class State(Enum):
    """The state of a result."""

    ABSENT = "absent"
    DONE = "done"
    """It is there, made from the same image with the same settings."""
    OUTDATED = "outdated"
    """It is there and was made by this program in another way: it can be made again and may be replaced."""
    FOREIGN = "foreign"
    """It is there and this program knows nothing of it, or someone has changed it since."""


class Manifest:
    """The records of the results in `folder`; `settings` is a key of all that decides what results look like."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._lock = threading.Lock()
        self._sources: dict[FileJob, tuple[list[int] | None, str | None]] = {}
        content = _read(folder / MANIFEST_NAME)
        self._records = _parse(content)
        self._is_torn = bool(content) and not content.endswith(b"\n")  # a crash has left its last line open

    def is_result(self, path: Path) -> bool:
        """Whether a file was made by this program and is unchanged since."""
        record = self._records.get(self._name(path))
        return record is not None and record.get("result") == _stamp(path)

    def state(self, job: FileJob) -> State:
        """The state of the result of a job."""
        present = _stamp(job.output)
        if present is None:
            return State.ABSENT
        record = self._records.get(self._name(job.output))
        if record is None:
            return State.FOREIGN
        recorded = record.get("result")
        if recorded is None:  # the program ended while it was writing: the file is its own
            return State.OUTDATED
        same = record.get("settings") == self._settings and _same_source(job.source, record)
        # The time of a copied result may differ, which makes it no less done; but only what is surely unchanged is
        # ever replaced.
        if same and recorded[0] == present[0]:
            return State.DONE
        return State.OUTDATED if recorded == present else State.FOREIGN

    def record_source(self, job: FileJob) -> None:
        """Record what the image is, before it is read: if it changes afterwards, its result is not up to date."""
        self._sources[job] = (_stamp(job.source), _digest(job.source))

    def begin(self, job: FileJob, least_bytes: int = 0) -> None:
        """Record that a result of at least so many bytes is about to be made; `record_source` comes before.

        Raises:
            OutputError: The result can't be written there. This is known before the work.
        """
        fingerprint, digest = self._sources.pop(job)
        output = self._name(job.output)
        record = {
            "output": output,
            "settings": self._settings,
            "source": fingerprint,
            "sha256": digest,
            "result": None,
        }
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            check_place(job.output, least_bytes)
            self._append(record)
        except OSError as error:
            raise OutputError(
                job.output,
                f"can't be written to its folder ({error.strerror or error})",
                "choose another folder, or make room on the disk if it is full",
            ) from error

    def finish(self, job: FileJob) -> None:
        """Record that a result is complete. If that fails it is made again next time."""
        record = {**self._records[self._name(job.output)], "result": _stamp(job.output)}
        with contextlib.suppress(OSError):
            self._append(record)

    def _append(self, record: dict[str, Any]) -> None:
        with self._lock:
            with (self._folder / MANIFEST_NAME).open("a", encoding="ascii") as stream:
                stream.write(("\n" if self._is_torn else "") + json.dumps(record) + "\n")
            self._is_torn = False
            self._records[record["output"]] = record

    def _name(self, output: Path) -> str:
        return Path(os.path.relpath(output, self._folder)).as_posix()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _parse(content: bytes) -> dict[str, dict[str, Any]]:
    """The last record of each result; lines that can't be read are skipped."""
    records: dict[str, dict[str, Any]] = {}
    for line in content.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            result = record["result"]
            if result is None or (len(result) == 2 and all(isinstance(number, int) for number in result)):
                records[record["output"]] = record
    return records


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _same_source(source: Path, record: dict[str, Any]) -> bool:
    """By size and time; where only the time differs, as after copying, by content."""
    now, then = _stamp(source), record.get("source")
    if now is None or not then or now[0] != then[0]:
        return False
    return now == then or _digest(source) == record.get("sha256")


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
