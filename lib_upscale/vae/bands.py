"""Activations of a whole picture, kept in bands of rows outside of the device: in memory, then in files.

Bands are written from the top down and can be given up from the top down, so that a layer's input disappears
while its output grows.

Files are there because the exact mode needs up to 1024 MB for each million pixels (Stable Diffusion's VAE in float32):
16 GiB for 4096x4096, more than many machines have free. Without them such a picture could only be had in the fast
mode, whose pixels differ by 2 levels of 255 on average and 17 at most (benchmarks/vae.py, random weights, 256x256).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn

from lib_upscale.errors import OutOfMemoryError

__all__ = ["Bands", "Moments", "Scratch", "Spill"]


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of the values of every group: (batch, groups), float64 on the CPU."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, x: Tensor, groups: int) -> Moments:
        """Measure `x` (NCHW), in float32 in two passes, where `x` lies."""
        values = x.float().reshape(x.shape[0], groups, -1)
        mean = values.mean(2, keepdim=True)
        squares = (values - mean).square_().sum(2)
        return cls(values.shape[2], mean.squeeze(2).cpu().double(), squares.cpu().double())

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of values together.

        The last term is the variance between the two means; without it, parts that differ would look alike.
        Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
        """
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares + apart.square() * (self.count * other.count / count)
        return Moments(count, mean, squares)

    def normalized(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        """`x` (NCHW) after the group norm with these moments, a new tensor of the same type."""
        repeats = norm.num_channels // norm.num_groups
        scale = (self.squares / self.count + norm.eps).rsqrt().repeat_interleave(repeats, 1)
        shift = -self.mean.repeat_interleave(repeats, 1) * scale
        if norm.affine:
            weight, bias = norm.weight.detach().cpu().double(), norm.bias.detach().cpu().double()
            scale, shift = scale * weight, shift * weight + bias
        scale, shift = (v.float().to(x.device)[:, :, None, None] for v in (scale, shift))
        return torch.addcmul(shift, x.float(), scale).to(x.dtype)


@dataclass(frozen=True)
class Spill:
    """Where activations go that do not fit: at most `memory` bytes stay in memory, the rest in files in `folder`."""

    folder: Path
    memory: int


class Scratch:
    """Owns the memory and the files of bands. A context: at its end no file is left."""

    def __init__(self, spill: Spill | None = None) -> None:
        self._spill = spill
        self._held = 0
        self._files = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def keep(self, x: Tensor, top: int) -> _Band:
        """A copy of `x`, in memory or in a file."""
        size = x.numel() * x.element_size()
        if self._spill is not None and self._held + size > self._spill.memory:
            band = self._file_band(self._spill, x, top, size)
        else:
            band = _Band(torch.empty(x.shape, dtype=x.dtype), top)
            self._held += size
        band.values.copy_(x)
        return band

    def drop(self, band: _Band) -> None:
        """Give up a band's memory or file."""
        size = band.values.numel() * band.values.element_size()
        band.values = torch.empty(0)
        if band.path is None:
            self._held -= size
            return
        # A file that is still mapped can't be removed on Windows; it goes with the folder.
        with contextlib.suppress(OSError):
            band.path.unlink()

    def _file_band(self, spill: Spill, x: Tensor, top: int, size: int) -> _Band:
        if self._folder is None:
            spill.folder.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=spill.folder, prefix="vae-", ignore_cleanup_errors=True)
        free = shutil.disk_usage(self._folder.name).free
        # Writing to a mapped file on a full disk ends the process, so the room is made sure of before.
        if free < size + _RESERVE:
            raise OutOfMemoryError(
                f"The VAE needs more room than is left in {spill.folder} ({free / 1e9:.1f} GB)",
                "free some, or choose the fast VAE mode",
            )
        self._files += 1
        path = Path(self._folder.name, f"{self._files}.band")
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        # numpy knows no bfloat16: bytes are bytes.
        mapped = np.memmap(path, np.uint8, "r+", shape=(size,))
        return _Band(torch.from_numpy(mapped).view(x.dtype).reshape(x.shape), top, path)


_RESERVE = 64 * 2**20
"""Bytes of the disk that are left to others."""


@dataclass(eq=False)
class _Band:
    """Some rows of an activation, from row `top` on; `path` is the file that they lie in, if it is one."""

    values: Tensor
    top: int = 0
    path: Path | None = None

    @property
    def bottom(self) -> int:
        return self.top + int(self.values.shape[2])


class Bands:
    """One activation, NCHW: rows are appended, read, replaced, and forgotten."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._bands: list[_Band] = []
        self._moments: dict[int, Moments] = {}
        self.height = 0
        """Rows appended so far, forgotten ones included."""

    @classmethod
    def around(cls, x: Tensor) -> Bands:
        """Wrap a tensor on the CPU, which is only read and not copied."""
        bands = cls(Scratch())
        bands._bands, bands.height = [_Band(x)], x.shape[2]
        return bands

    @property
    def width(self) -> int:
        """Columns, in pixels of this activation."""
        return int(self._bands[-1].values.shape[3])

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return int(self._bands[-1].values.shape[1])

    @property
    def moments(self) -> Moments | None:
        """The moments of all rows that came with a number of groups since `restart`; None if none did."""
        parts = list(self._moments.values())
        return reduce(Moments.merged, parts) if parts else None

    def append(self, top: int, x: Tensor, groups: int = 0) -> None:
        """Add rows at the bottom, from row `top` on, with their moments if `groups` is given.

        What an attempt that ran out of memory left at `top` and below is overwritten.
        """
        while self._bands and self._bands[-1].top >= top and self.height > top:
            self._scratch.drop(self._bands.pop())
            self.height = top
        self.measure(top, x, groups)
        self._bands.append(self._scratch.keep(x, top))
        self.height = top + x.shape[2]

    def replace(self, top: int, x: Tensor, groups: int = 0) -> None:
        """Put `x` where its rows lie, `top` the first of them."""
        self.measure(top, x, groups)
        for inside, part in self._parts(top, top + x.shape[2]):
            part.copy_(x[:, :, inside])

    def measure(self, top: int, x: Tensor, groups: int) -> None:
        """Keep the moments of the rows `x` from `top` on, if `groups` is not 0."""
        if groups:
            self._moments[top] = Moments.of(x, groups)

    def restart(self) -> None:
        """Forget the moments: new values are about to replace the old ones."""
        self._moments = {}

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the rows `top` to `bottom` - 1, on the CPU; they may share memory with what is kept."""
        parts = [part for _, part in self._parts(top, bottom)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def forget(self, above: int) -> None:
        """Give up the bands that end at row `above` or before."""
        while self._bands and self._bands[0].bottom <= above:
            self._scratch.drop(self._bands.pop(0))

    def _parts(self, top: int, bottom: int) -> list[tuple[slice, Tensor]]:
        parts = []
        for band in self._bands:
            low, high = max(top, band.top), min(bottom, band.bottom)
            if low < high:
                parts.append((slice(low - top, high - top), band.values[:, :, low - band.top : high - band.top]))
        if sum(part.shape[2] for _, part in parts) != bottom - top:
            raise ValueError(f"rows {top} to {bottom} are no longer there, or not yet")
        return parts
