"""All tiles denoised in lockstep: at every step the predictions of overlapping latent tiles are merged into one.

MultiDiffusion (Bar-Tal, Yariv, Lipman, Dekel 2023) takes the mean of the predictions, Mixture of Diffusers (Jimenez
2023) a mean with gaussian weights. The sampler sees one whole latent, so no seam can form between tiles, and any
sampler works. What is called for a batch of tiles is a plain function; whoever knows the host binds it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError, SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, check

__all__ = ["Inner", "JointDenoiser", "JointSettings", "LatentTile", "Weighting", "per_tile"]

_SIGMA = 0.1  # of a tile's side: what Mixture of Diffusers calls a variance of 0.01
_LATENT = 8  # pixels of the picture in a pixel of the latent, each way


class Weighting(str, Enum):
    """How much the prediction of a tile counts at each of its pixels."""

    UNIFORM = "uniform"
    GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class LatentTile:
    """One tile of one step. `region` and `canvas` count pixels of the latent; `index` counts tiles by rows."""

    index: int
    region: Region
    canvas: Size

    @property
    def pixels(self) -> Region:
        """Where it lies in the picture."""
        return self.region.scaled(_LATENT)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the latent, for which everything stays as it was given."""
        return self.region.size == self.canvas

    def crop(self, values: Tensor) -> Tensor:
        """The part of `values` (N, C, height, width) over this tile; `values` itself if it has no such extent.

        It has if it is as large as the latent, a whole number of times larger (masks, hints in pixels), or that of
        the UNet's insides: half, a quarter, ... rounded up. Raises `SettingsError` if the tile begins between two of
        the latter's pixels (see `JointSettings.align`).
        """
        if values.dim() != 4:
            return values
        height, width = values.shape[2:]
        larger = height // self.canvas.height
        if larger and (height, width) == (self.canvas.height * larger, self.canvas.width * larger):
            region = self.region.scaled(larger)
            return values[:, :, region.rows, region.columns]
        for smaller in (2, 4, 8):
            if height * width > 1 and (height, width) == (
                -(-self.canvas.height // smaller),
                -(-self.canvas.width // smaller),
            ):
                return self._crop_smaller(values, smaller)
        return values

    def _crop_smaller(self, values: Tensor, smaller: int) -> Tensor:
        if self.region.x % smaller or self.region.y % smaller:
            raise SettingsError(
                f"Tiles of this grid do not begin at multiples of {smaller} latent pixels, which ControlNet needs here",
                f"choose a size that is a multiple of {smaller * _LATENT}",
            )
        top, left = self.region.y // smaller, self.region.x // smaller
        high, wide = -(-self.region.height // smaller), -(-self.region.width // smaller)
        return values[:, :, top : top + high, left : left + wide]


class Inner(Protocol):
    """The model, as the joint method sees it."""

    def __call__(
        self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]
    ) -> Tensor:  # fmt: skip
        """The prediction for a batch of tiles.

        `x` holds for each of `tiles` all rows of the whole latent's batch, tile by tile; `sigma` (or time steps) as
        many. `crop` makes of conditioning for the whole latent what belongs to `x`'s rows: cropped where it has
        spatial extents, else repeated. Conditioning of a tile's own comes from `per_tile`.
        """


@dataclass(frozen=True)
class JointSettings:
    """How a latent is tiled. All numbers are pixels of the latent. Raises `TileTooSmallError`."""

    tile: Size
    overlap: int
    """What neighboring tiles share at least. Half of it at least on a shifted grid."""
    weighting: Weighting = Weighting.GAUSSIAN
    batch: int = 1
    """How many tiles the model is given at once, at most."""
    shift: bool = False
    """Move the inner tiles from step to step, as far as the overlap allows. The number of tiles stays."""
    seed: int = 0
    align: int = 1
    """Tiles begin at multiples of it, but for the last where the latent's size is none."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < min(self.tile):
            raise TileTooSmallError(f"An overlap of {self.overlap} leaves nothing of a tile", self.overlap + 1)
        if self.batch < 1 or self.align < 1 or min(self.tile) - self.overlap < self.align:
            raise SettingsError("The batch is at least 1, and a tile without its overlap at least the alignment")

    def origins(self, size: Size, step: float | None = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where the columns and the rows of tiles begin, on a latent of that size; `step` shifts the grid."""
        return (
            self._axis(size.width, self.tile.width, step, 0),
            self._axis(size.height, self.tile.height, step, 1),
        )

    def _axis(self, length: int, tile: int, step: float | None, axis: int) -> tuple[int, ...]:
        if tile >= length:
            return (0,)
        # Counted in alignments; the last tile ends where the latent does, which is never further than the even place.
        last, stride = length - tile, (tile - self.overlap) // self.align
        units = -(-last // self.align)
        gaps = -(-units // stride)
        even = [i * units // gaps * self.align for i in range(gaps)]
        if step is not None and self.shift and gaps > 1:
            even[1:] = self._shifted(even[1:], last, tile - self.overlap // 2, step, axis)
        return (*even, last)

    def _shifted(self, inner: list[int], last: int, most: int, step: float, axis: int) -> list[int]:
        """The inner origins moved together, so far that neighbors' origins are at most `most` apart."""
        low = max(last - most - inner[-1], 1 - inner[0])
        high = min(most - inner[0], last - 1 - inner[-1])
        choices = range(-(-low // self.align) * self.align, high + 1, self.align)
        if not choices:
            return inner
        # Seeded by the step itself: a step's cond and uncond may come in two calls and must see one grid.
        key = struct.pack("<fqq", step, self.seed, axis)
        by = random.Random(key).choice(choices)
        return [origin + by for origin in inner]


def per_tile(tiles: Sequence[LatentTile], choose: Callable[[LatentTile], Tensor]) -> Tensor:
    """Conditioning that each tile has of its own, in the order of the rows that `Inner` is given.

    `choose` gives what belongs to the rows of one tile: the prompt of its region, SDXL's crop and size.
    """
    return torch.cat([choose(tile) for tile in tiles])


class JointDenoiser:
    """A model of tiles as a model of whole latents, to be called where the host calls its own."""

    def __init__(
        self,
        inner: Inner,
        settings: JointSettings,
        *,
        group: Callable[[LatentTile], Hashable] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Only tiles for which `group` gives the same may share a batch (prompts of one length, say)."""
        self._inner, self._settings, self._group, self._progress = inner, settings, group, progress
        self.batch = settings.batch
        """How many tiles the model is given at once; less than asked for once memory has run out."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The merged prediction for `x` (batch, channels, height, width), `sigma` one number per row of it.

        A latent that is no larger than a tile goes to the model as it is. Weights and sums are float32.

        Raises:
            OutOfMemoryError: not even one tile fits.
            CancelledError: the person asked to stop; between two batches.
        """
        canvas = Size(x.shape[3], x.shape[2])
        columns, rows = self._settings.origins(canvas, float(sigma.flatten()[0]) if self._settings.shift else None)
        tiles = _tiles(canvas, self._settings.tile, columns, rows)
        if len(tiles) == 1:
            check(self._progress)
            return self._inner(x, sigma, tiles, lambda values: values)
        size = tiles[0].region.size
        across = _weights(columns, size.width, self._settings.weighting, x.device)
        down = _weights(rows, size.height, self._settings.weighting, x.device)
        total: Tensor | None = None
        dtype = x.dtype
        for batch in self._batches(tiles):
            prediction = self._predicted(x, sigma, batch)
            if total is None:
                total = torch.zeros((len(x), prediction.shape[1], *x.shape[2:]), device=x.device)
                dtype = prediction.dtype
            for tile, part in zip(batch, prediction.chunk(len(batch)), strict=True):
                row, column = divmod(tile.index, len(columns))
                weight = down[row][:, None] * across[column]
                total[:, :, tile.region.rows, tile.region.columns].addcmul_(part.float(), weight)
        assert total is not None
        return total.to(dtype)

    def _batches(self, tiles: Sequence[LatentTile]) -> Iterator[Sequence[LatentTile]]:
        """Groups of tiles, as large as `batch` is at that moment."""
        groups: dict[Hashable, list[LatentTile]] = {}
        for tile in tiles:
            groups.setdefault(self._group(tile) if self._group else None, []).append(tile)
        for waiting in groups.values():
            while waiting:
                check(self._progress)
                taken, waiting = waiting[: self.batch], waiting[self.batch :]
                yield taken

    def _predicted(self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile]) -> Tensor:
        """The prediction for these tiles, in several calls if memory runs out for one."""
        prediction = self._tried(x, sigma, tiles)
        if prediction is not None:
            return prediction
        # Here the handler's traceback, which keeps tensors alive, is gone.
        release_memory(x.device)
        if len(tiles) == 1:
            raise OutOfMemoryError(
                f"Memory ran out on {x.device} even with one tile of {tiles[0].pixels.size} pixels",
                "set the tile smaller, or close other programs",
            )
        half = len(tiles) // 2
        self.batch = min(self.batch, len(tiles) - half)
        return torch.cat([self._predicted(x, sigma, part) for part in (tiles[:half], tiles[half:])])

    def _tried(self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile]) -> Tensor | None:
        def crop(values: Tensor) -> Tensor:
            if values.dim() and len(values) == 1 < len(x):
                values = values.expand(len(x), *values.shape[1:])
            return torch.cat([tile.crop(values) for tile in tiles])

        try:
            return self._inner(crop(x), sigma.repeat(len(tiles)), tiles, crop)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None


@lru_cache(maxsize=8)
def _tiles(canvas: Size, tile: Size, columns: tuple[int, ...], rows: tuple[int, ...]) -> tuple[LatentTile, ...]:
    width, height = min(tile.width, canvas.width), min(tile.height, canvas.height)
    places = [Region(x, y, width, height) for y in rows for x in columns]
    return tuple(LatentTile(index, place, canvas) for index, place in enumerate(places))


@lru_cache(maxsize=16)
def _weights(origins: tuple[int, ...], tile: int, weighting: Weighting, device: torch.device) -> Tensor:
    """The weights of tiles along one axis, (tiles, tile), float32: at every pixel they sum to one.

    The weight of a tile in the plane is the product of its weights along both axes. Each is relative to its own
    side and summed in float64: at a tile's edge a gaussian is 4e-6, at any size and shape of tile.
    """
    if weighting is Weighting.UNIFORM:
        weight = torch.ones(tile, dtype=torch.float64)
    else:
        place = (torch.arange(tile, dtype=torch.float64) + 0.5) / tile - 0.5
        weight = torch.exp(-0.5 * (place / _SIGMA).square())
    total = torch.zeros(max(origins) + tile, dtype=torch.float64)
    for origin in origins:
        total[origin : origin + tile] += weight
    return torch.stack([weight / total[origin : origin + tile] for origin in origins]).float().to(device)
