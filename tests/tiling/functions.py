"""Functions that stand where a network stands, of which the right result is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F


class Nearest:
    """A "network" that repeats every pixel: the tiled result must be the repeated picture, to the bit."""

    device = torch.device("cpu")

    def __init__(self, scale: int = 2, fails: set[int] | None = None, limit: int | None = None) -> None:
        self.scale = scale
        self.calls = 0
        self.batches: list[int] = []
        self._fails = fails or set()
        self._limit = limit

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        too_large = self._limit is not None and batch.shape[0] * batch.shape[2] * batch.shape[3] > self._limit
        if self.calls in self._fails or too_large:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate some")
        self.batches.append(batch.shape[0])
        return F.interpolate(batch, scale_factor=self.scale, mode="nearest")

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing here gives NaN")


def random_pixels(width: int, height: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A picture without any structure that could hide a misplaced tile."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def repeated(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """What `Nearest` makes of the whole picture."""
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
