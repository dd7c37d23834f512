"""A latent-diffusion VAE by tiles: device memory follows the tile and not the picture.

Exact: every layer runs over the whole picture before the next one starts, group-norm statistics are pooled over all
of it, the middle block's attention sees all of it. Activations wait in host memory or in files. Fast: what is computed
at a quarter of the picture's side or less stays exact; the rest runs tile by tile in one go, with statistics from a
pass over a smaller picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, Span, check
from lib_upscale.settings.redraw import VaeMode
from lib_upscale.vae.bands import Bands, Moments, Scratch, Spill
from lib_upscale.vae.exact import Limit, Streamed, cost
from lib_upscale.vae.layers import (
    Attention,
    Convolve,
    Layer,
    Network,
    Resnet,
    forward,
    read_decoder,
    read_encoder,
)

__all__ = ["MARGIN", "Spill", "VaeMode", "decode", "encode", "host_memory"]

MARGIN = 24
"""Pixels that a tile of the fast mode sees beyond what is kept of it, on each side.

The convolutions that run by tiles reach 22 pixels in Stable Diffusion's decoder and 16 in its encoder.
"""


@torch.no_grad()
def encode(
    encoder: nn.Module,
    pixels: Tensor,
    *,
    tile: int = 512,
    mode: VaeMode = VaeMode.EXACT,
    margin: int = MARGIN,
    spill: Spill | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = SILENT,
) -> Tensor:
    """What `encoder` makes of `pixels` (NCHW, -1..1): NCHW, float32, on the CPU.

    That is the encoder's own output: `quant_conv`, where there is one, comes after it. `tile` is a side in pixels:
    about as much is on the device as the encoder takes for a picture of that side. `spill` says where activations
    go that do not fit into memory. `device` and `dtype` are those of the encoder's first weights if not given.

    Raises:
        UnknownNetworkError: the encoder is not built as Stable Diffusion's is.
        SettingsError: the tile is smaller than one latent pixel (and two margins in the fast mode), or the picture is.
        OutOfMemoryError: not even the smallest part fits, or the files' folder is full.
        CancelledError: the person asked to stop.
    """
    network = read_encoder(encoder)
    if min(pixels.shape[2:]) < network.factor:
        raise SettingsError(f"The VAE needs a picture of at least {network.factor} pixels a side")
    with Scratch(spill) as scratch:
        reach = margin if mode is VaeMode.FAST else 0
        job = _Job.of(network, network.wide[0], pixels, tile, reach, scratch, device, dtype, progress)
        source = Bands.around(pixels.detach().cpu())
        if mode is VaeMode.EXACT:
            return _gathered(job.streamed((*network.wide, *network.narrow), source))
        share = job.share_of_narrow(encoder=True)
        between = job.tiles(source, 1, network.wide_factor, Span(progress, 0, 1 - share))
        return _gathered(job.streamed(network.narrow, Bands.around(between), Span(progress, 1 - share, 1)))


@torch.no_grad()
def decode(
    decoder: nn.Module,
    latent: Tensor,
    *,
    tile: int = 512,
    mode: VaeMode = VaeMode.EXACT,
    margin: int = MARGIN,
    spill: Spill | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = SILENT,
) -> Tensor:
    """What `decoder` makes of `latent` (NCHW): pixels of about -1..1, NCHW, float32, on the CPU.

    `latent` is what the decoder itself takes: `post_quant_conv`, where there is one, comes before it. The other
    arguments and what it raises are those of `encode`; `tile` and `margin` are in pixels of the picture.
    """
    network = read_decoder(decoder)
    with Scratch(spill) as scratch:
        reach = margin if mode is VaeMode.FAST else 0
        job = _Job.of(network, network.narrow[0], latent, tile, reach, scratch, device, dtype, progress)
        source = Bands.around(latent.detach().cpu())
        if mode is VaeMode.EXACT:
            return _gathered(job.streamed((*network.narrow, *network.wide), source))
        share = job.share_of_narrow(encoder=False)
        between = job.streamed(network.narrow, source, Span(progress, 0, share))
        return job.tiles(between, network.wide_factor, 1, Span(progress, share, 1))


def host_memory(module: nn.Module, mode: VaeMode = VaeMode.EXACT, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of host memory, or of files, that `encode` or `decode` needs at most per million pixels of the picture.

    `module` is an encoder or a decoder, `dtype` what it computes in. The picture and the latent themselves and one
    tile's share come on top. Raises `UnknownNetworkError`.
    """
    is_encoder = hasattr(module, "down")
    network = read_encoder(module) if is_encoder else read_decoder(module)
    layers = (*network.wide, *network.narrow) if is_encoder else (*network.narrow, *network.wide)
    if mode is VaeMode.FAST:
        layers = network.narrow
    area = 1 / network.factor**2
    if is_encoder:
        area = 1 / network.wide_factor**2 if mode is VaeMode.FAST else 1.0
    most = 0.0
    for layer in layers:
        most = max(most, area * _held(layer))
        area *= _growth(layer)
        most = max(most, area * _channels(layer))
    return int(most * 1e6 * torch.empty(0, dtype=dtype).element_size())


def _held(layer: Layer) -> int:
    """Channels kept while a layer runs over the bands."""
    if isinstance(layer, Resnet):
        return layer.conv1.out_channels + max(layer.conv2.out_channels, layer.conv1.in_channels * (not layer.shortcut))
    return 4 * layer.q.out_channels if isinstance(layer, Attention) else 0


def _channels(layer: Layer) -> int:
    convs = [part for part in vars(layer).values() if isinstance(part, nn.Conv2d)]
    return convs[-1].out_channels if convs else 0


def _growth(layer: Layer) -> float:
    return {"Downsample": 0.25, "Upsample": 4.0}.get(type(layer).__name__, 1.0)


def _gathered(bands: Bands) -> Tensor:
    return bands.rows(0, bands.height).to(torch.float32, copy=True)


@dataclass
class _Job:
    """One picture on its way through one network."""

    network: Network
    tile: int
    margin: int
    size: tuple[int, int]
    scratch: Scratch
    device: torch.device
    dtype: torch.dtype
    progress: Progress

    @classmethod
    def of(
        cls, network: Network, first: Layer, x: Tensor, tile: int, margin: int, scratch: Scratch,
        device: torch.device | None, dtype: torch.dtype | None, progress: Progress,
    ) -> _Job:  # fmt: skip
        """Checks the tile, and asks the first weights where and in what they compute."""
        if tile < 2 * margin + network.factor:
            raise SettingsError(
                f"A VAE tile of {tile} pixels is too small", f"set it to {2 * margin + network.factor} or more"
            )
        weight = first.conv.weight if isinstance(first, Convolve) else torch.empty(0)
        return cls(
            network, tile, margin, (x.shape[2], x.shape[3]), scratch,
            device or weight.device, dtype or weight.dtype, progress,
        )  # fmt: skip

    def streamed(self, layers: Sequence[Layer], source: Bands, progress: Progress | None = None) -> Bands:
        """`layers` run exactly over `source`."""
        limit = Limit(self.tile**2 * self.network.channels, self.device)
        total = cost(layers, source.height, source.width)
        return Streamed(self.scratch, limit, self.dtype, progress or self.progress, total).run(layers, source)

    def share_of_narrow(self, encoder: bool) -> float:
        """Which part of the fast mode's work is done in bands, not by tiles."""
        first, then = (self.network.wide, self.network.narrow) if encoder else (self.network.narrow, self.network.wide)
        before = cost(first, *self.size)
        both = cost((*first, *then), *self.size)
        return (both - before if encoder else before) / both

    def tiles(self, source: Bands, grow: int, shrink: int, progress: Progress) -> Tensor:
        """The layers of higher resolution, tile by tile: the output has `grow` / `shrink` times the side."""
        return _Tiles(self, source, grow, shrink, progress).run()


class _Tiles:
    """The fast mode's tiles. Regions count pixels of what lies between the network's two parts, the smaller side."""

    def __init__(self, job: _Job, source: Bands, grow: int, shrink: int, progress: Progress) -> None:
        self._job, self._source, self._progress = job, source, progress
        self._grow, self._shrink = grow, shrink
        self._small = Size(source.width // shrink, source.height // shrink)
        factor = job.network.wide_factor
        self._margin = -(-job.margin // factor)
        self._side = job.tile // factor
        self._limit = Limit(self._side**2, job.device)  # pixels, margins included
        self._result: Tensor | None = None

    def run(self) -> Tensor:
        moments = self._statistics()
        core = max(1, self._side - 2 * self._margin)
        fits_whole = self._small.pixels <= self._limit.elements
        waiting = deque(_spread(self._small, max(self._small) if fits_whole else core))
        finished = 0
        while waiting:
            check(self._progress)
            core_of = waiting.popleft()
            seen = core_of.grown(self._margin, self._small)
            too_large = len(self._limit.tried) > 0 and seen.size.pixels > self._limit.elements
            divisible = core_of.size.pixels > 1
            if (too_large and divisible) or not self._limit.fits(
                partial(self._one, core_of, seen, moments), divisible
            ):  # fmt: skip
                waiting.extendleft(reversed(_halves(core_of)))
                continue
            finished += core_of.size.pixels
            self._progress.report(finished / self._small.pixels, "VAE")
        assert self._result is not None
        return self._result

    def _one(self, core: Region, seen: Region, moments: dict[nn.GroupNorm, Moments]) -> None:
        down, grow = self._shrink, self._grow
        # The last tile takes the rows and columns that are left over when the side is halved.
        bottom = self._source.height if seen.bottom == self._small.height else seen.bottom * down
        right = self._source.width if seen.right == self._small.width else seen.right * down
        x = self._source.rows(seen.y * down, bottom)[..., seen.x * down : right]
        x = x.to(self._job.device, self._job.dtype)
        y = forward(self._job.network.wide, x, lambda norm, value: moments[norm].normalized(norm, value))
        inner = core.moved(-seen.x, -seen.y).scaled(grow)
        place = core.scaled(grow)
        kept = y[:, :, inner.rows, inner.columns]
        if self._result is None:
            size = self._small.scaled(grow)
            # An encoder's goes on to its other layers; a decoder's is the picture.
            dtype = self._job.dtype if grow == 1 else torch.float32
            self._result = torch.empty((*kept.shape[:2], size.height, size.width), dtype=dtype)
        self._result[:, :, place.rows, place.columns] = kept.to(self._result.dtype)

    def _statistics(self) -> dict[nn.GroupNorm, Moments]:
        """Moments of all norms, from a smaller input of as many pixels as a tile has; the whole if it has no more."""
        moments: dict[nn.GroupNorm, Moments] = {}

        def measure(norm: nn.GroupNorm, x: Tensor) -> Tensor:
            moments[norm] = Moments.of(x, norm.num_groups)
            return moments[norm].normalized(norm, x)

        def work() -> None:
            share = (self._limit.elements / self._small.pixels) ** 0.5
            x = self._source.rows(0, self._source.height) if share >= 1 else self._smaller(share)
            forward(self._job.network.wide, x.to(self._job.device, self._job.dtype), measure)

        while not self._limit.fits(work, self._limit.elements > 1):
            pass
        return moments

    def _smaller(self, share: float) -> Tensor:
        """The input at `share` of its sides.

        Pixels of a picture are averaged. Features are picked, which keeps their variance; with either the other way
        round the result was seen to be further from the exact one.
        """
        source, multiple = self._source, self._shrink
        high, wide = (max(1, int(side * share) // multiple) * multiple for side in (source.height, source.width))
        if multiple > 1:
            return F.interpolate(source.rows(0, source.height).float(), (high, wide), mode="area")
        columns = _picked(source.width, wide)
        return torch.cat([source.rows(row, row + 1)[..., columns] for row in _picked(source.height, high).tolist()], 2)


def _picked(length: int, count: int) -> Tensor:
    """`count` places spread evenly over a side."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * (length / count)).long().clamp_(max=length - 1)


def _spread(size: Size, side: int) -> list[Region]:
    """Regions of at most `side` a side, about equal, that cover the size once."""

    def cuts(length: int) -> list[int]:
        count = -(-length // side)
        return [length * i // count for i in range(count + 1)]

    columns, rows = cuts(size.width), cuts(size.height)
    return [
        Region.between(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns)
    ]


def _halves(region: Region) -> list[Region]:
    if region.width >= region.height:
        middle = region.x + region.width // 2
        return [
            Region.between(region.x, region.y, middle, region.bottom),
            Region.between(middle, region.y, region.right, region.bottom),
        ]
    middle = region.y + region.height // 2
    return [
        Region.between(region.x, region.y, region.right, middle),
        Region.between(region.x, middle, region.right, region.bottom),
    ]
