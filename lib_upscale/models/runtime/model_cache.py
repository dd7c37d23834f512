"""LRU cache of loaded networks."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib_upscale.device import (
    choose_device,
    free_memory,
    is_out_of_memory,
    release_memory,
)
from lib_upscale.models.identity import Identity, NetworkFacts
from lib_upscale.models.model_files import Fingerprint, file_fingerprint
from lib_upscale.models.runtime.known_model import KnownModel
from lib_upscale.models.runtime.loader import load_network
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model import Model
from lib_upscale.models.runtime.precision import choose_precision

__all__ = ["ModelCache"]


@dataclass(frozen=True)
class _Key:
    """What tells loaded networks apart."""

    path: Path
    fingerprint: Fingerprint | None
    precision: str
    variant: str

    @classmethod
    def of(cls, path: Path, precision: str, variant: str) -> _Key:
        return cls(path, file_fingerprint(path), precision, variant)

    def notes(self, device: torch.device) -> str:
        """The key under which it is noted what the network is, for `KnownModel`."""
        return f"{self.path}/{self.fingerprint}/{device.type}/{self.precision}/{self.variant}"


class ModelCache:
    """Keeps networks loaded from one image to the next; the least recently used goes first.

    A network goes only when another one is to be loaded. Safe to use from many threads.

    Args:
        device: "auto" or the name of a device (`choose_device`).
        max_models: How many networks stay loaded at most, unless more are in use (`holding`).
        max_bytes: How much their weights may take together at most; None is half of what is free when loading.
        measurements: Where measurements are kept; None is in memory.
    """

    def __init__(
        self,
        device: str | torch.device = "auto",
        *,
        max_models: int = 2,
        max_bytes: int | None = None,
        measurements: MeasurementStore | None = None,
    ) -> None:
        self.device = device if isinstance(device, torch.device) else choose_device(device)
        self.measurements = measurements or MeasurementStore()
        self._max_models = max(1, max_models)
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[_Key, Model] = OrderedDict()
        self._held: Counter[Path] = Counter()
        self._lock = threading.RLock()

    def get(
        self,
        identity: Identity,
        precision: str = "auto",
        variant: str = "torch",
        accelerate: Callable[[Any], Callable[[torch.Tensor], torch.Tensor]] | None = None,
    ) -> Model:
        """Return the network of a file on the cache's device; load it if it is not loaded.

        Args:
            identity: Of a file with a network.
            precision: A value of `settings.upscale.Precision`.
            variant: The name of what `accelerate` does.
            accelerate: Makes of the loaded network what runs it (`backends.accelerator`); None is torch itself.

        Raises:
            ModelFileError: The file can't be loaded.
        """
        facts = identity.network
        assert facts is not None, "only files with a network are asked for"
        key = _Key.of(identity.path, precision, variant)
        with self._lock:
            model = self._find(key)
            if model is not None:
                return model
            self._make_room(_bytes_on_disk(key.fingerprint))
            model = self._load(identity.path, facts, precision)
            if accelerate is not None:
                model.accelerate(variant, accelerate)
            self.measurements.put(key.notes(self.device), **model.notes)
            self._loaded[key] = model
            return model

    def loaded(self, identity: Identity, precision: str = "auto", variant: str = "torch") -> Model | None:
        """Return the network of a file if it is loaded; arguments as for `get`."""
        with self._lock:
            return self._find(_Key.of(identity.path, precision, variant))

    def known(self, identity: Identity, precision: str = "auto", variant: str = "torch") -> KnownModel | None:
        """Return what earlier loadings tell of the network of a file, which is not read; arguments as for `get`."""
        facts = identity.network
        assert facts is not None, "only files with a network are asked for"
        notes = self.measurements.all(_Key.of(identity.path, precision, variant).notes(self.device))
        return KnownModel.read(notes, identity.path, facts, self.device, self.measurements)

    @contextlib.contextmanager
    def holding(self, paths: Iterable[Path]) -> Iterator[None]:
        """Keep the networks of these files loaded inside `with`, even if they are more than `max_models`.

        Their bytes still count: where not all fit into `max_bytes`, or into the device's memory, the least recently
        used goes and is loaded again when it is asked for. After `with` nothing is let go of at once, so that the
        next image finds the same networks; the first other network that is loaded brings back the limit.
        """
        held = set(paths)
        with self._lock:
            self._held.update(held)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(held)
                self._held = +self._held

    def clear(self) -> None:
        """Let go of all networks and give their memory back."""
        with self._lock:
            self._loaded.clear()
        release_memory(self.device)

    def __len__(self) -> int:
        return len(self._loaded)

    def _find(self, key: _Key) -> Model | None:
        if key in self._loaded:
            self._loaded.move_to_end(key)
        return self._loaded.get(key)

    def _load(self, path: Path, facts: NetworkFacts, precision: str) -> Model:
        model = Model(path, load_network(path), facts, torch.device("cpu"), self.measurements)
        # Whatever else is loaded is worth less than what was asked for; what is in use goes last.
        for let_go in (self._let_go_of_unused, self.clear):
            # The error is dealt with outside of its handler, whose traceback would keep the tensors alive.
            try:
                choose_precision(model, precision, self.device)
                return model
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            let_go()
        choose_precision(model, precision, self.device)
        return model

    def _let_go_of_unused(self) -> None:
        for key in [key for key in self._loaded if key.path not in self._held]:
            del self._loaded[key]
        release_memory(self.device)

    def _make_room(self, coming: int) -> None:
        """Let go of networks until one more of `coming` bytes may be loaded."""
        limit = self._max_bytes if self._max_bytes is not None else free_memory(self.device) // 2
        while self._loaded:
            unused = [key for key in self._loaded if key.path not in self._held]
            too_many = len(self._loaded) >= self._max_models and bool(unused)
            too_large = sum(model.bytes for model in self._loaded.values()) + coming > limit
            if not too_many and not too_large:
                return
            del self._loaded[unused[0] if unused else next(iter(self._loaded))]
            release_memory(self.device)


def _bytes_on_disk(fingerprint: Fingerprint | None) -> int:
    """Return the size of a file, or of both files of an ncnn pair."""
    return sum(fingerprint[:1] + fingerprint[3:4]) if fingerprint else 0
