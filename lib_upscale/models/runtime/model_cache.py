"""Loaded networks: which device, which precision, kept for the next picture, let go of when memory is needed."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from lib_upscale.device import (
    choose_device,
    free_memory,
    is_out_of_memory,
    release_memory,
    suits_bfloat16,
)
from lib_upscale.errors import UnusableModelError
from lib_upscale.models.catalog.catalog import Catalog, Entry
from lib_upscale.models.identity import Identity, NetworkFacts
from lib_upscale.models.model_files import Fingerprint, file_fingerprint
from lib_upscale.models.runtime.loader import load_network
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.prepare import activation_bytes, alignment, prepare

__all__ = ["Model", "ModelCache", "Models"]

_T = TypeVar("_T")

_TYPES = {"full": torch.float32, "half": torch.float16, "bfloat16": torch.bfloat16}


class Model:
    """A network on a device, ready to be run over tiles (a `tiles.run.TileFunction`)."""

    def __init__(
        self, path: Path, descriptor: Any, facts: NetworkFacts, device: torch.device, notes: MeasurementStore
    ) -> None:
        self.path = path
        self.facts = facts
        self.device = device
        self.weight_hash = _weight_hash(descriptor.model)
        self._descriptor = descriptor
        self._notes = notes
        self._run: Callable[[torch.Tensor], torch.Tensor] = descriptor
        self._variant = ""
        self.dtype = torch.float32
        self.align = alignment(descriptor.model, facts)
        self.bytes = sum(p.numel() * p.element_size() for p in descriptor.model.state_dict().values())
        prepare(descriptor.model)

    @property
    def scale(self) -> int:
        """Output side over input side."""
        return self.facts.scale

    @property
    def key(self) -> str:
        """What is measured for it is noted under this: weights, device, precision, and what else than torch runs it."""
        return f"{self.weight_hash}/{self.device.type}/{str(self.dtype).removeprefix('torch.')}{self._variant}"

    def noted(self, name: str) -> Any:
        """What was measured before for this model on this device in this precision, or None."""
        return self._notes.get(self.key, name)

    def note(self, **values: Any) -> None:
        """Remember what was measured on this device in this precision."""
        self._notes.put(self.key, **values)

    def known(self, name: str) -> Any:
        """What was measured before and holds for these weights anywhere, or None."""
        return self._notes.get(self.weight_hash, name)

    def learn(self, **values: Any) -> None:
        """Remember what holds for these weights anywhere."""
        self._notes.put(self.weight_hash, **values)

    def in_full_precision(self, work: Callable[[], _T]) -> _T:
        """Do `work` while the model computes in float32."""
        usual = self.dtype
        if usual == torch.float32:
            return work()
        self.to(self.device, torch.float32)
        try:
            return work()
        finally:
            self.to(self.device, usual)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move it. Raises what torch raises when memory runs out."""
        # The module's own `to`: spandrel's refuses types that its authors did not try, and we asked it before.
        self._descriptor.model.to(device=device, dtype=dtype)
        self.device, self.dtype = device, dtype

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """NCHW, float32, 0..1, on the device, to float32 of `scale` times the size."""
        try:
            with torch.inference_mode():
                return self._run(batch.to(self.dtype)).float()
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, UnusableModelError):
                raise
            raise UnusableModelError(
                self.path,
                f"failed on a tile of {batch.shape[3]}x{batch.shape[2]} ({type(error).__name__}: {error})",
                "try another tile size or another model",
            ) from error

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        """A batch whose output was not finite, done again in float32, in which the model then stays."""
        if self.dtype != torch.float32:
            self.learn(float32_only=True)
            self.to(self.device, torch.float32)
        # Also where it was in float32 already: a device is given the next batch before the last one is looked at.
        output = self(batch)
        if bool(torch.isfinite(output).all()):
            return output
        raise UnusableModelError(
            self.path,
            "gives values that are not numbers, even in full precision",
            "its weights are broken: get it anew",
        )

    def memory_per_pixel(self) -> float:
        """Bytes for each input pixel of a tile, estimated once."""
        known = self.noted("bytes_per_pixel")
        if known is None:
            # Asked of torch itself: what runs the network instead of it tells no layers, and needs no more.
            plain = torch.inference_mode()(lambda batch: self._descriptor(batch.to(self.dtype)))
            known = activation_bytes(self._descriptor.model, plain, self._sample())
            self.note(bytes_per_pixel=known)
        return float(known)

    def accelerate(self, name: str, how: Callable[[Any], Callable[[torch.Tensor], torch.Tensor]]) -> None:
        """Have something else, called `name`, run the network: `how` is given the descriptor."""
        self._variant = f"/{name}"
        self._run = how(self._descriptor)

    def _sample(self) -> torch.Tensor:
        needs = self.facts.size_requirements
        side = -(-max(32, needs.minimum) // self.align) * self.align
        return torch.full((1, self.facts.input_channels, side, side), 0.5, device=self.device)


@dataclass(frozen=True)
class _Wanted:
    path: Path
    fingerprint: Fingerprint | None
    precision: str
    variant: str


class ModelCache:
    """Keeps loaded models for every following picture, the least recently used going first.

    Args:
        device: "auto" or the name of a device (`choose_device`).
        max_models: how many stay loaded at most.
        max_bytes: how much their weights may take together at most; None: half of what is free when loading.
        notes: where measurements are remembered.
    """

    def __init__(
        self,
        device: str | torch.device = "auto",
        *,
        max_models: int = 2,
        max_bytes: int | None = None,
        notes: MeasurementStore | None = None,
    ) -> None:
        self.device = device if isinstance(device, torch.device) else choose_device(device)
        self.notes = notes or MeasurementStore()
        self._max_models = max(1, max_models)
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[_Wanted, Model] = OrderedDict()
        self._lock = threading.RLock()

    def get(
        self,
        identity: Identity,
        precision: str = "auto",
        variant: str = "torch",
        accelerate: Callable[[Any], Callable[[torch.Tensor], torch.Tensor]] | None = None,
    ) -> Model:
        """The model of that identity on the pool's device, loaded now or before.

        `precision` is one of settings' words; `variant` names what `accelerate` does, if it is given.

        Raises:
            ModelFileError: the file can't be loaded; says why.
        """
        facts = identity.network
        assert facts is not None, "only files with a network are asked for"
        fingerprint = file_fingerprint(identity.path)
        wanted = _Wanted(identity.path, fingerprint, precision, variant)
        with self._lock:
            if wanted in self._loaded:
                self._loaded.move_to_end(wanted)
                return self._loaded[wanted]
            self._make_room(_bytes_on_disk(fingerprint))
            model = self._load(identity.path, facts, precision)
            if accelerate is not None:
                model.accelerate(variant, accelerate)
            self._loaded[wanted] = model
            return model

    def loaded(self, path: Path) -> Model | None:
        """The model of that file if it is loaded, whatever its precision; the one used last."""
        with self._lock:
            return next((model for wanted, model in reversed(self._loaded.items()) if wanted.path == path), None)

    def clear(self) -> None:
        """Let go of all models and give their memory back."""
        with self._lock:
            self._loaded.clear()
        release_memory(self.device)

    def __len__(self) -> int:
        return len(self._loaded)

    def _load(self, path: Path, facts: NetworkFacts, precision: str) -> Model:
        model = Model(path, load_network(path), facts, torch.device("cpu"), self.notes)
        dtype = self._dtype(model, precision)
        try:
            model.to(self.device, dtype)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # Whatever else is loaded is worth less than the model that was asked for.
            self.clear()
            model.to(self.device, dtype)
        return model

    def _dtype(self, model: Model, precision: str) -> torch.dtype:
        facts = model.facts
        if precision == "full" or self.notes.get(model.weight_hash, "float32_only"):
            return torch.float32
        if precision == "auto":
            return self._fastest(facts)
        allowed = facts.supports_half if precision == "half" else facts.supports_bfloat16
        if not allowed:
            raise UnusableModelError(
                model.path,
                f"can't compute in {precision} precision ({facts.architecture})",
                "set the precision to auto",
            )
        return _TYPES[precision]

    def _fastest(self, facts: NetworkFacts) -> torch.dtype:
        # On a CPU half precision is emulated and slower than full.
        if self.device.type == "cpu":
            return torch.float32
        if facts.supports_half:
            return torch.float16
        if facts.supports_bfloat16 and suits_bfloat16(self.device):
            return torch.bfloat16
        return torch.float32

    def _make_room(self, coming: int) -> None:
        limit = self._max_bytes if self._max_bytes is not None else free_memory(self.device) // 2
        while self._loaded and (
            len(self._loaded) >= self._max_models or sum(m.bytes for m in self._loaded.values()) + coming > limit
        ):
            self._loaded.popitem(last=False)
            release_memory(self.device)


@dataclass(frozen=True)
class Models:
    """A person's models: what there is (`catalog`) and what is loaded (`pool`)."""

    catalog: Catalog
    pool: ModelCache

    def find(self, name: str) -> Entry:
        """The entry of that name; the default model for "". Raises `UnknownModelError` or what is wrong with it."""
        from lib_upscale.models.catalog.bundled import DEFAULT_MODEL

        return self.catalog.find(name or DEFAULT_MODEL)


def _bytes_on_disk(fingerprint: Fingerprint | None) -> int:
    """The size of a file, or of both files of an ncnn pair."""
    return sum(fingerprint[:1] + fingerprint[3:4]) if fingerprint else 0


def _weight_hash(network: torch.nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(str(tuple(tensor.shape)).encode())
        flat = tensor.detach().reshape(-1)
        if flat.numel():
            # A sample of each tensor tells networks apart; hashing all of a gigabyte would cost seconds.
            step = max(1, flat.numel() // 1024)
            digest.update(flat[::step].to(torch.float32).cpu().numpy().tobytes())
    return digest.hexdigest()
