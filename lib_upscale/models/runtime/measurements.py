"""A store of what was measured of networks: a small JSON file, or memory alone.

Kept by weight hash, device and precision: the tile that fitted, the radius of the receptive field, the time that a
pixel takes, that half precision failed. Losing it costs time, never a result, so a damaged file is started anew.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError

__all__ = ["MeasurementScope", "MeasurementStore", "Measurements", "measurements_of"]


class MeasurementStore:
    """Measured values by key and name.

    Safe to use from many threads. Of several processes that write one file, the last one wins.

    Args:
        path: The JSON file; None keeps the values in memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, Any]] = self._read()

    def get(self, key: str, name: str) -> Any:
        """Return the value stored under that key and name, or None."""
        with self._lock:
            return self._values.get(key, {}).get(name)

    def put(self, key: str, **values: Any) -> None:
        """Store plain JSON values by name."""
        with self._lock:
            stored = self._values.get(key, {})
            if all(name in stored and stored[name] == value for name, value in values.items()):
                return
            # What another process has stored meanwhile is kept.
            for other, others_values in self._read().items():
                self._values.setdefault(other, others_values)
            self._values[key] = {**stored, **values}
            self._write()

    def scope(self, key: str) -> MeasurementScope:
        """Return the part of the store under one key."""
        return MeasurementScope(self, key)

    def all(self, key: str) -> dict[str, Any]:
        """Return all values stored under one key."""
        with self._lock:
            return dict(self._values.get(key, {}))

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
        # A store that can't be written (read-only folder, full disk) is no reason to fail.
        with contextlib.suppress(OSError, OutputError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._path, durable=False) as stream:  # a store that is lost is measured anew
                stream.write(json.dumps(self._values).encode())


@dataclass(frozen=True)
class MeasurementScope:
    """The values of a `MeasurementStore` under one key."""

    store: MeasurementStore
    key: str

    def get(self, name: str) -> Any:
        """Return the value of that name, or None."""
        return self.store.get(self.key, name)

    def put(self, **values: Any) -> None:
        """Store plain JSON values by name."""
        self.store.put(self.key, **values)


@dataclass(frozen=True)
class Measurements:
    """What was measured of a model, in two scopes."""

    per_device: MeasurementScope
    """What holds on this device, in this precision, with this backend: "seconds_per_pixel", "bytes_per_pixel",
    "precision_works", and "fitting_tile": a side in pixels, the bytes that were free, until when, for how long."""
    per_weights: MeasurementScope
    """What holds for these weights anywhere: "radius", "needs_float32", "contiguous"."""


def measurements_of(
    store: MeasurementStore, weight_hash: str, device: str, dtype: str, variant: str = ""
) -> Measurements:
    """Return what was measured of the network with those weights.

    Args:
        store: Where it is kept.
        weight_hash: What tells the weights apart.
        device: The type of the device that it computes on.
        dtype: What it computes in, without "torch.".
        variant: "/" and the name of a backend other than torch, or "".
    """
    return Measurements(store.scope(f"{weight_hash}/{device}/{dtype}{variant}"), store.scope(weight_hash))
