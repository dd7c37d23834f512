"""Copies batches of tiles to a device and results back, while the device computes where it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["DeviceTransfer", "transfer_for"]

_LEVELS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


class DeviceTransfer(Protocol):
    """Copies batches to a device and results back."""

    def upload(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        """Copy tiles to the device.

        Args:
            tiles: Of equal size, height x width x channels, whole levels (uint8 or uint16).

        Returns:
            One batch: NCHW, float32, 0..1, on the device.
        """

    def download(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Start to copy `values` to the CPU.

        Returns:
            A function that waits for the copy and returns it.
        """


def transfer_for(device: torch.device) -> DeviceTransfer:
    """Return the fastest transfer to and from `device`."""
    return _CudaTransfer(device) if device.type == "cuda" else _DirectTransfer(device)


def _stack(tiles: Sequence[NDArray[Any]]) -> tuple[torch.Tensor, float]:
    stack = np.ascontiguousarray(np.stack(tiles))
    # torch 2.1 has no uint16: its bits travel as int16 and are read as unsigned again on the device.
    return torch.from_numpy(stack.view(np.int16) if stack.dtype == np.uint16 else stack), _LEVELS[stack.dtype]


def _to_floats(batch: torch.Tensor, levels: float) -> torch.Tensor:
    values = batch.float() if batch.dtype == torch.uint8 else (batch.int() & 0xFFFF).float()
    # The bytes lie as NHWC, which read as NCHW is channels_last, what convolutions want.
    return values.div_(levels).permute(0, 3, 1, 2)


class _DirectTransfer:
    """Copies synchronously."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def upload(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        batch, levels = _stack(tiles)
        return _to_floats(batch.to(self._device), levels)

    def download(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
        return values.cpu


class _CudaTransfer:
    """Copies through pinned memory on its own stream, so that computing goes on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, tiles: Sequence[NDArray[Any]]) -> torch.Tensor:
        batch, levels = _stack(tiles)
        compute_stream = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            uploaded = batch.pin_memory().to(self._device, non_blocking=True)
        compute_stream.wait_stream(self._stream)
        uploaded.record_stream(compute_stream)
        return _to_floats(uploaded, levels)

    def download(self, values: torch.Tensor) -> Callable[[], torch.Tensor]:
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
