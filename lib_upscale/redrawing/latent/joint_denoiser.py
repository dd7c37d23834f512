"""Denoises all tiles together: at every step the predictions of overlapping latent tiles are merged into one.

Source: MultiDiffusion (Bar-Tal, Yariv, Lipman, Dekel 2023) takes the mean of the predictions, Mixture of Diffusers
(Jimenez 2023) a mean with gaussian weights, as is done here. The sampler sees one whole latent, so no seam can form
between tiles, and any sampler works. What is called for a batch of tiles is a plain function; whoever knows the host
binds it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError, SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.redrawing.tiles.grid import LATENT
from lib_upscale.spread import ceil_div, spread

__all__ = ["JointDenoiser", "JointSettings", "LatentTile", "TileModel", "tile_weights"]

_SIGMA = 0.1
"""Standard deviation of a tile's weights, of its side: what Mixture of Diffusers calls a variance of 0.01."""


@dataclass(frozen=True)
class LatentTile:
    """One tile of one step. `region` and `canvas` count pixels of the latent; `index` counts tiles by rows."""

    index: int
    region: Region
    canvas: Size

    @property
    def pixels(self) -> Region:
        """Where it lies in the picture."""
        return self.region.scaled(LATENT)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the latent, for which everything stays as it was given."""
        return self.region.size == self.canvas

    def crop(self, values: Tensor) -> Tensor:
        """Cut out what lies over this tile.

        Args:
            values: NCHW, or with frames NCTHW; as large as the latent, a whole number of times larger (masks, hints in
                pixels), or as large as the UNet's insides: half, a quarter, ... rounded up. Anything else has no place
                in the picture.

        Returns:
            The part over this tile; `values` itself if it has no place in the picture.

        Raises:
            SettingsError: The tile begins between two pixels of the UNet's insides (see `JointSettings.align`).
        """
        if values.dim() not in (4, 5):
            return values
        height, width = values.shape[-2:]
        larger = height // self.canvas.height
        if larger and (height, width) == (self.canvas.height * larger, self.canvas.width * larger):
            region = self.region.scaled(larger)
            return values[..., region.rows, region.columns]
        for smaller in (2, 4, 8):
            inside = (ceil_div(self.canvas.height, smaller), ceil_div(self.canvas.width, smaller))
            if height * width > 1 and (height, width) == inside:
                return self._crop_smaller(values, smaller)
        return values

    def _crop_smaller(self, values: Tensor, smaller: int) -> Tensor:
        if self.region.x % smaller or self.region.y % smaller:
            raise SettingsError(
                f"Tiles of this grid do not begin at multiples of {smaller} latent pixels, which ControlNet needs here",
                f"choose a size that is a multiple of {smaller * LATENT}",
            )
        top, left = self.region.y // smaller, self.region.x // smaller
        height, width = ceil_div(self.region.height, smaller), ceil_div(self.region.width, smaller)
        return values[..., top : top + height, left : left + width]


class TileModel(Protocol):
    """The base model, as the joint method calls it."""

    def __call__(
        self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Predict a batch of tiles.

        Args:
            x: For each of `tiles` all rows of the whole latent's batch, tile by tile; NCHW.
            sigma: A noise level (or time step) for each row of `x`.
            tiles: Where they lie.
            crop: Makes of conditioning for the whole latent what belongs to the rows of `x`: cropped where it has
                a place in the picture, else repeated.

        Returns:
            The prediction, NCHW, a row for each of `x`.

        Raises:
            Exception: One that `lib_upscale.device.is_out_of_memory` knows is answered by a smaller batch.
        """


@dataclass(frozen=True)
class JointSettings:
    """How a latent is tiled, in pixels of the latent. Raises `TileTooSmallError` and `SettingsError`."""

    tile: Size
    overlap: int
    """What neighboring tiles share at least. Half of it at least on a shifted grid."""
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
        """Where the columns and the rows of tiles begin, on a latent of that size.

        `step`, the noise level or time step, shifts the grid where `shift` is set.
        """
        columns, rows = (
            self._shift(spread(length, tile, self.overlap, self.align), tile - self.overlap // 2, step, axis)
            for axis, (length, tile) in enumerate(zip(size, self.tile, strict=True))
        )
        return columns, rows

    def _shift(self, origins: tuple[int, ...], most: int, step: float | None, axis: int) -> tuple[int, ...]:
        """Move the inner origins together, so far that neighbors' origins are at most `most` apart."""
        first, *inner, last = origins if len(origins) > 1 else (0, 0)
        if step is None or not self.shift or not inner:
            return origins
        low = max(last - most - inner[-1], 1 - inner[0])
        high = min(most - inner[0], last - 1 - inner[-1])
        choices = range(ceil_div(low, self.align) * self.align, high + 1, self.align)
        if not choices:
            return origins
        # Seeded by the step itself: a step's cond and uncond may come in two calls and must see one grid.
        key = struct.pack("<fqq", step, self.seed, axis)
        by = random.Random(key).choice(choices)
        return (first, *(origin + by for origin in inner), last)


class JointDenoiser:
    """A model of tiles as a model of whole latents, to be called where the host calls its own."""

    def __init__(
        self,
        model: TileModel,
        settings: JointSettings,
        *,
        group: Callable[[LatentTile], Hashable] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Only tiles for which `group` gives the same may share a batch (prompts of one length, say)."""
        self._model, self._settings, self._group, self._progress = model, settings, group, progress
        self.batch = settings.batch
        """How many tiles the model is given at once; less than asked for once memory has run out."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict a whole latent, merged from its tiles. One no larger than a tile goes to the model as it is.

        Args:
            x: NCHW, or NCTHW as models of video have it: tiles are parts of all frames.
            sigma: A noise level (or time step) for each row of `x`.

        Returns:
            The prediction, of the shape of `x` and the type that the model gives. Weights and sums are float32.

        Raises:
            OutOfMemoryError: Not even one tile fits.
            CancelledError: The person asked to stop; between two batches.
        """
        canvas = Size(x.shape[-1], x.shape[-2])
        columns, rows = self._settings.origins(canvas, float(sigma.flatten()[0]) if self._settings.shift else None)
        tiles = _tiles(canvas, self._settings.tile, columns, rows)
        if len(tiles) == 1:
            check(self._progress)
            return self._model(x, sigma, tiles, lambda values: values)
        size = tiles[0].region.size
        across = tile_weights(columns, size.width, x.device)
        down = tile_weights(rows, size.height, x.device)
        total: Tensor | None = None
        dtype = x.dtype
        for batch in self._batches(tiles):
            prediction = self._predict(x, sigma, batch)
            if total is None:
                total = torch.zeros((len(x), prediction.shape[1], *x.shape[2:]), device=x.device)
                dtype = prediction.dtype
            for tile, part in zip(batch, prediction.chunk(len(batch)), strict=True):
                row, column = divmod(tile.index, len(columns))
                weight = down[row][:, None] * across[column]
                total[..., tile.region.rows, tile.region.columns].addcmul_(part.float(), weight)
        assert total is not None
        return total.to(dtype)

    def _batches(self, tiles: Sequence[LatentTile]) -> Iterator[Sequence[LatentTile]]:
        """Batches of tiles of one group, as large as `batch` is at that moment."""
        groups: dict[Hashable, list[LatentTile]] = {}
        for tile in tiles:
            groups.setdefault(self._group(tile) if self._group else None, []).append(tile)
        for pending in groups.values():
            while pending:
                check(self._progress)
                batch, pending = pending[: self.batch], pending[self.batch :]
                yield batch

    def _predict(self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile]) -> Tensor:
        """Predict these tiles, in several calls if memory runs out for one."""
        prediction = self._attempt(x, sigma, tiles)
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
        return torch.cat([self._predict(x, sigma, part) for part in (tiles[:half], tiles[half:])])

    def _attempt(self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile]) -> Tensor | None:
        def crop(values: Tensor) -> Tensor:
            if values.dim() and len(values) == 1 < len(x):
                values = values.expand(len(x), *values.shape[1:])
            return torch.cat([tile.crop(values) for tile in tiles])

        try:
            return self._model(crop(x), sigma.repeat(len(tiles)), tiles, crop)
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
def tile_weights(origins: tuple[int, ...], tile: int, device: torch.device) -> Tensor:
    """Weigh tiles along one axis: a gaussian each, made to sum to one at every pixel.

    The weight of a tile in the plane is the product of its weights along both axes. Each is relative to its own
    side and summed in float64: at a tile's edge a gaussian is 4e-6, at any size and shape of tile.

    Returns:
        (tiles, tile), float32, on `device`.
    """
    place = (torch.arange(tile, dtype=torch.float64) + 0.5) / tile - 0.5
    weight = torch.exp(-0.5 * (place / _SIGMA).square())
    total = torch.zeros(max(origins) + tile, dtype=torch.float64)
    for origin in origins:
        total[origin : origin + tile] += weight
    return torch.stack([weight / total[origin : origin + tile] for origin in origins]).float().to(device)
