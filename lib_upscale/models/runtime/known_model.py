"""A network as far as notes of an earlier loading tell: enough to plan its tiles without reading its file again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib_upscale.models.identity import NetworkFacts
from lib_upscale.models.runtime.measurements import Measurements, MeasurementStore, measurements_of

__all__ = ["KnownModel", "NotMeasuredError"]


class NotMeasuredError(Exception):
    """Raised when something of a network is asked for that was never measured. No person meets it."""


@dataclass(frozen=True)
class KnownModel:
    """What `Model.notes` said of a network when it was last loaded; has what planning asks of a `Model`."""

    path: Path
    facts: NetworkFacts
    device: torch.device
    align: int
    measured: Measurements
    precision_note: str
    unloaded_bytes: int
    """What its weights will take on the device."""

    @classmethod
    def read(
        cls, notes: Mapping[str, Any], path: Path, facts: NetworkFacts, device: torch.device, store: MeasurementStore
    ) -> KnownModel | None:
        """Read what `Model.notes` wrote; None where it says too little.

        Args:
            notes: What it wrote; empty for a network that was never loaded.
            path: The network's file.
            facts: What is known of the network.
            device: Where it would compute.
            store: Where measurements are kept.
        """
        try:
            weights, dtype = str(notes["weights"]), str(notes["dtype"])
            measured = measurements_of(store, weights, device.type, dtype, str(notes["variant"]))
            if dtype != "float32" and measured.per_weights.get("needs_float32"):
                return None  # seen since then
            align, size = int(notes["align"]), int(notes["bytes"])
            return cls(path, facts, device, align, measured, str(notes["precision_note"]), size)
        except (KeyError, TypeError, ValueError):
            return None

    def memory_per_pixel(self) -> float:
        """Return the bytes that each input pixel of a tile takes. Raises `NotMeasuredError`."""
        estimate = self.measured.per_device.get("bytes_per_pixel")
        if estimate is None:
            raise NotMeasuredError(self.path)
        return float(estimate)
