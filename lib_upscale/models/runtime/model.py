"""A loaded network on a device, and what was measured of it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from lib_upscale.device import fixed_precision, is_out_of_memory
from lib_upscale.errors import CancelledError, UnusableModelError
from lib_upscale.models.identity import NetworkFacts
from lib_upscale.models.runtime.measurements import Measurements, MeasurementStore, measurements_of
from lib_upscale.models.runtime.prepare import activation_bytes, alignment, prepare, set_memory_format
from lib_upscale.progress import Progress, check
from lib_upscale.spread import ceil_div

__all__ = ["Model"]

_T = TypeVar("_T")

_SAMPLE_SIDE = 32
"""Pixels a side of what is run to estimate the memory: every layer works, and it takes milliseconds."""


class Model:
    """A network on a device, ready to be run over tiles (a `tiling.run.TileFunction`).

    Safe to call from many threads: they take turns, since a network may change its precision between two calls.

    Args:
        path: The file it comes from, for messages.
        descriptor: What spandrel loaded: callable, with the module in `model`.
        facts: What is known of the network.
        device: Where its weights are.
        store: Where measurements are kept.
    """

    def __init__(
        self, path: Path, descriptor: Any, facts: NetworkFacts, device: torch.device, store: MeasurementStore
    ) -> None:
        self.path = path
        self.facts = facts
        self.device = device
        self.weight_hash = _weight_hash(descriptor.model)
        self._descriptor = descriptor
        self._store = store
        self._run: Callable[[torch.Tensor], torch.Tensor] = descriptor
        self._variant = ""
        self._lock = threading.RLock()
        self.precision_note = ""
        """Why it computes in float32 although a faster precision was wanted, or ""."""
        self.dtype = torch.float32
        self.align = alignment(descriptor.model, facts)
        self.unloaded_bytes = 0
        """What its weights will still take on the device: none, as for a `KnownModel` they do."""
        self.bytes = sum(p.numel() * p.element_size() for p in descriptor.model.state_dict().values())
        prepare(descriptor.model)
        self._channels_last = True
        if self.measured.per_weights.get("contiguous"):
            self._use_contiguous()

    @property
    def scale(self) -> int:
        """Output side over input side."""
        return self.facts.scale

    @property
    def measured(self) -> Measurements:
        """What was measured of it, for reading and writing."""
        return measurements_of(self._store, self.weight_hash, self.device.type, self._dtype_name, self._variant)

    @property
    def notes(self) -> dict[str, Any]:
        """What `KnownModel` reads, as plain values."""
        return {
            "weights": self.weight_hash,
            "dtype": self._dtype_name,
            "variant": self._variant,
            "align": self.align,
            "bytes": self.bytes,
            "precision_note": self.precision_note,
        }

    @property
    def _dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @contextlib.contextmanager
    def full_precision(self) -> Iterator[Model]:
        """Give the same network in float32, inside `with`.

        A copy where it computes in another precision: other threads may be using this one. Raises what torch raises
        when memory runs out.
        """
        if self.dtype == torch.float32:
            yield self
            return
        with self._lock:
            exact = copy.copy(self)
            exact._descriptor = copy.deepcopy(self._descriptor)
        exact._lock = threading.RLock()
        exact._run, exact._variant = exact._descriptor, ""
        exact.to(self.device, torch.float32)
        yield exact

    @contextlib.contextmanager
    def interruptible(self, progress: Progress) -> Iterator[None]:
        """Let every call of this thread inside `with` end between two layers when the person asks to stop.

        Other backends than torch's eager mode run the whole network in one go, and end only after it.

        Raises:
            CancelledError: Out of the call, when the person asked to stop.
        """
        thread = threading.get_ident()

        def check_here(*_: Any) -> None:
            if threading.get_ident() == thread:
                check(progress)

        hooks = []
        if not self._variant:
            hooks = [module.register_forward_pre_hook(check_here) for module in self._descriptor.model.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the network. Raises what torch raises when memory runs out."""
        # The module's own `to`: spandrel's refuses types that its authors did not try, and we asked it before.
        with self._lock:
            self._descriptor.model.to(device=device, dtype=dtype)
            self.device, self.dtype = device, dtype

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the network.

        Args:
            batch: NCHW, float32, 0..1, on the device.

        Returns:
            NCHW, float32, on the device, with sides `scale` times as long.

        Raises:
            UnusableModelError: The network failed, but not because memory ran out: that error is torch's own.
        """
        try:
            return self.run_unguarded(batch)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, (UnusableModelError, CancelledError)):
                raise
            if self.dtype != torch.float32:
                self.fall_back()
                output = self(batch)
                # Only now: what fails in float32 too says nothing about the precision.
                self.measured.per_weights.put(needs_float32=True)
                return output
            raise UnusableModelError(
                self.path,
                f"failed on a tile of {batch.shape[3]}x{batch.shape[2]} ({type(error).__name__}: {error})",
                "try another tile size or another model",
            ) from error

    def run_unguarded(self, batch: torch.Tensor) -> torch.Tensor:
        """Do what a call does, but raise whatever the network raises."""
        # A copy: RCAN subtracts a mean from its input in place, and a batch may have to be run again.
        return self._attempt(lambda: self._run(batch.to(self.dtype, copy=True)).float())

    def _attempt(self, work: Callable[[], _T]) -> _T:
        """Run the network alone and in its own precision; once more where its layers can't do with channels_last."""
        with self._lock, torch.inference_mode(), fixed_precision(self.device):
            try:
                return work()
            except RuntimeError as error:
                if not self._channels_last or is_out_of_memory(error):
                    raise
            self._use_contiguous()
            try:
                result = work()
            except Exception:
                # It was not the layout, which is the faster one for all that follows.
                self._channels_last = True
                set_memory_format(self._descriptor.model, torch.channels_last)
                raise
            self.measured.per_weights.put(contiguous=True)
            return result

    def _use_contiguous(self) -> None:
        self._channels_last = False
        set_memory_format(self._descriptor.model, torch.contiguous_format)

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        """Run a batch whose output was not finite again in float32, in which the model then stays.

        Raises:
            UnusableModelError: The output is not finite in float32 either.
        """
        if self.dtype != torch.float32:
            self.measured.per_weights.put(needs_float32=True)
            self.fall_back()
        # Also where it was in float32 already: a device is given the next batch before the last one is looked at.
        output = self(batch)
        if bool(torch.isfinite(output).all()):
            return output
        raise UnusableModelError(
            self.path,
            "gives values that are not numbers, even in full precision",
            "its weights are broken: download it again",
        )

    def fall_back(self) -> None:
        """Compute in float32 from now on, and say so in `precision_note`. Raises what `to` raises."""
        self.precision_note = f"{self.path.stem} computes in full precision: it fails in {self._dtype_name}"
        self.to(self.device, torch.float32)

    def memory_per_pixel(self) -> float:
        """Estimate the bytes that each input pixel of a tile takes; measured once."""
        scope = self.measured.per_device
        estimate = scope.get("bytes_per_pixel")
        if estimate is None:
            # Asked of torch itself: another backend has no layers to watch, and needs no more.
            network, sample = self._descriptor, self.sample().to(self.dtype)
            estimate = self._attempt(lambda: activation_bytes(network.model, network, sample))
            scope.put(bytes_per_pixel=estimate)
        return float(estimate)

    def accelerate(self, variant: str, wrap: Callable[[Any], Callable[[torch.Tensor], torch.Tensor]]) -> None:
        """Let another backend run the network.

        Args:
            variant: The backend's name; measurements are kept apart by it.
            wrap: Makes of the descriptor what is called instead of it.
        """
        self._variant = f"/{variant}"
        self._run = wrap(self._descriptor)

    def sample(self) -> torch.Tensor:
        """Make an even gray input on the device, as small as the network allows: NCHW, float32, 0..1."""
        least = max(_SAMPLE_SIDE, self.facts.size_requirements.minimum)
        side = ceil_div(least, self.align) * self.align
        return torch.full((1, self.facts.input_channels, side, side), 0.5, device=self.device)


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
