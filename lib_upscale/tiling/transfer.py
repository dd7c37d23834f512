"""Bringing tiles to the device and results back, next tile and last result meanwhile where the device can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["DeviceTransfer", "transfer_for"]

_LEVELS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


class DeviceTransfer(Protocol):
    """The way to a device and back."""

    def send(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        """Equal tiles, height x width x channels of whole levels, as one batch: NCHW, float32, 0..1, on the device."""

    def fetch(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin to bring `values` back; calling what is returned waits until they are here."""


def transfer_for(device: torch.device) -> DeviceTransfer:
    """The fastest lane to `device`."""
    return _CudaTransfer(device) if device.type == "cuda" else _DirectTransfer(device)


def _stacked(tiles: Sequence[NDArray[Any]]) -> tuple[torch.Tensor, float]:
    stack = np.ascontiguousarray(np.stack(tiles))
    # torch 2.1 has no uint16: its bits travel as int16 and are read as unsigned again on the device.
    return torch.from_numpy(stack.view(np.int16) if stack.dtype == np.uint16 else stack), _LEVELS[stack.dtype]


def _floats(batch: torch.Tensor, levels: float) -> torch.Tensor:
    values = batch.float() if batch.dtype == torch.uint8 else (batch.int() & 0xFFFF).float()
    # The bytes lie as NHWC, which read as NCHW is channels_last, what convolutions want.
    return values.div_(levels).permute(0, 3, 1, 2)


class _DirectTransfer:
    """Copies when asked, and waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        batch, levels = _stacked(tiles)
        return _floats(batch.to(self._device), levels)

    def fetch(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
        return values.cpu


class _CudaTransfer:
    """Copies through pinned memory on a stream of its own, so that computing goes on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        batch, levels = _stacked(tiles)
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            here = batch.pin_memory().to(self._device, non_blocking=True)
        computing.wait_stream(self._stream)
        here.record_stream(computing)
        return _floats(here, levels)

    def fetch(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
        result = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            result.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        values.record_stream(self._stream)

        def wait() -> torch.Tensor:
            arrived.synchronize()
            return result

        return wait
