"""What was measured once and is worth remembering: a small JSON file, or nothing but memory.

Kept by weight hash, device and precision: the tile that fitted, the radius that was probed, the time a pixel
takes, that half precision failed. Losing it costs time, never a result, so a damaged file is begun anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

__all__ = ["MeasurementStore"]


class MeasurementStore:
    """Values by key and name. Safe to use from many threads; the last of several processes wins."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, Any]] = self._read()

    def get(self, key: str, name: str) -> Any:
        """The value noted, or None."""
        with self._lock:
            return self._values.get(key, {}).get(name)

    def put(self, key: str, **values: Any) -> None:
        """Note plain JSON values."""
        with self._lock:
            noted = self._values.get(key, {})
            if all(name in noted and noted[name] == value for name, value in values.items()):
                return
            # What another process has noted meanwhile is kept.
            for other, found in self._read().items():
                self._values.setdefault(other, found)
            self._values[key] = {**noted, **values}
            self._write()

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._path is None:
            return {}
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(values, dict):
            return {}
        return {key: value for key, value in values.items() if isinstance(value, dict)}

    def _write(self) -> None:
        if self._path is None:
            return
        # A cache that can't be written (read-only folder, full disk) is no reason to fail.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(self._values, file)
                Path(name).replace(self._path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
