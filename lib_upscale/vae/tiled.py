"""Runs a latent-diffusion VAE by tiles, so that device memory follows the tile and not the picture.

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

from lib_upscale.device import fixed_precision
from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, Span, check
from lib_upscale.settings.redraw import VaeMode
from lib_upscale.spread import ceil_div, partition
from lib_upscale.vae.bands import Bands, Moments, Scratch, Spill
from lib_upscale.vae.exact import ActivationLimit, BandRunner, multiplications
from lib_upscale.vae.layers import Layer, Network, forward, read_decoder, read_encoder

__all__ = ["MARGIN", "decode", "encode"]

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
    """Run an encoder over a picture.

    Args:
        encoder: The encoder alone: `quant_conv`, where there is one, comes after it.
        pixels: NCHW, -1..1.
        tile: A side in pixels: about as much is on the device as the encoder takes for a picture of that side.
        mode: Exactly as the whole picture at once, or fast.
        margin: Pixels that a tile of the fast mode sees on each side beyond what is kept of it.
        spill: Where activations go that do not fit into memory. None: all must.
        device: Where to compute; that of the encoder's first weights if None.
        dtype: What to compute in; that of the encoder's first weights if None.
        progress: Hears how far it is.

    Returns:
        The encoder's output: NCHW, float32, on the CPU.

    Raises:
        UnknownNetworkError: The encoder is not built as Stable Diffusion's is.
        SettingsError: The tile is smaller than one latent pixel (and two margins in the fast mode), or the picture is.
        OutOfMemoryError: Not even the smallest part fits, or the files' folder is full.
        CancelledError: The person asked to stop.
    """
    network = read_encoder(encoder)
    if min(pixels.shape[2:]) < network.factor:
        raise SettingsError(f"The VAE needs an image of at least {network.factor} pixels a side")
    layers = (*network.high_res, *network.low_res)
    device = device or layers[0].convs[0].weight.device
    with Scratch(spill) as scratch, fixed_precision(device):
        run = _Run.create(network, layers, pixels, tile, margin, mode, scratch, device, dtype)
        source = Bands.around(pixels.detach().cpu())
        if mode is VaeMode.EXACT:
            return _gather(run.in_bands(layers, source, progress))
        share = run.share_of(network.high_res, layers)
        between = run.in_tiles(source, 1, network.high_res_factor, Span(progress, 0, share))
        return _gather(run.in_bands(network.low_res, Bands.around(between), Span(progress, share, 1)))


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
    """Run a decoder over a latent.

    The other arguments and what it raises are those of `encode`; `tile` and `margin` are in pixels of the picture.

    Args:
        decoder: The decoder alone: `post_quant_conv`, where there is one, comes before it.
        latent: NCHW.

    Returns:
        Pixels of about -1..1: NCHW, float32, on the CPU.
    """
    network = read_decoder(decoder)
    layers = (*network.low_res, *network.high_res)
    device = device or layers[0].convs[0].weight.device
    with Scratch(spill) as scratch, fixed_precision(device):
        run = _Run.create(network, layers, latent, tile, margin, mode, scratch, device, dtype)
        source = Bands.around(latent.detach().cpu())
        if mode is VaeMode.EXACT:
            return _gather(run.in_bands(layers, source, progress))
        share = run.share_of(network.low_res, layers)
        between = run.in_bands(network.low_res, source, Span(progress, 0, share))
        return run.in_tiles(between, network.high_res_factor, 1, Span(progress, share, 1))


def _gather(bands: Bands) -> Tensor:
    return bands.rows(0, bands.height).to(torch.float32, copy=True)


@dataclass
class _Run:
    """One picture on its way through one network."""

    network: Network
    tile: int
    margin: int
    size: tuple[int, int]
    """Height and width of the input."""
    scratch: Scratch
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def create(
        cls,
        network: Network,
        layers: Sequence[Layer],
        x: Tensor,
        tile: int,
        margin: int,
        mode: VaeMode,
        scratch: Scratch,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> _Run:
        """Check the tile, and ask the first weights in what they compute."""
        smallest = network.factor + (2 * margin if mode is VaeMode.FAST else 0)
        if tile < smallest:
            raise SettingsError(f"A VAE tile of {tile} pixels is too small", f"set it to {smallest} or more")
        weight = layers[0].convs[0].weight
        size = (x.shape[2], x.shape[3])
        return cls(network, tile, margin, size, scratch, device, dtype or weight.dtype)

    def in_bands(self, layers: Sequence[Layer], source: Bands, progress: Progress) -> Bands:
        """Run `layers` exactly over `source`."""
        limit = ActivationLimit(self.tile**2 * self.network.channels, self.device)
        total = multiplications(layers, source.height, source.width)
        return BandRunner(self.scratch, limit, self.dtype, progress, total).run(layers, source)

    def share_of(self, first: Sequence[Layer], layers: Sequence[Layer]) -> float:
        """Which part of the work of `layers` their first ones are, 0..1."""
        return multiplications(first, *self.size) / multiplications(layers, *self.size)

    def in_tiles(self, source: Bands, grow: int, shrink: int, progress: Progress) -> Tensor:
        """Run the layers of higher resolution by tiles: the output has `grow` / `shrink` times the side."""
        return _FastTiles(self, source, grow, shrink, progress).run()


class _FastTiles:
    """The fast mode's tiles. Regions count pixels of what lies between the network's two parts, the smaller side."""

    def __init__(self, run: _Run, source: Bands, grow: int, shrink: int, progress: Progress) -> None:
        self._run, self._source, self._progress = run, source, progress
        self._grow, self._shrink = grow, shrink
        self._small = Size(source.width // shrink, source.height // shrink)
        factor = run.network.high_res_factor
        self._margin = ceil_div(run.margin, factor)
        self._side = run.tile // factor
        self._limit = ActivationLimit(self._side**2, run.device)  # pixels, margins included
        self._result: Tensor | None = None

    def run(self) -> Tensor:
        moments = self._statistics()
        core_side = max(1, self._side - 2 * self._margin)
        fits_whole = self._small.pixels <= self._limit.elements
        pending = deque(_cut(self._small, max(self._small) if fits_whole else core_side))
        finished = 0
        while pending:
            check(self._progress)
            core = pending.popleft()
            visible = core.grown(self._margin, self._small)
            is_too_large = self._limit.was_lowered and visible.size.pixels > self._limit.elements
            divisible = core.size.pixels > 1
            work = partial(self._run_tile, core, visible, moments)
            if (is_too_large and divisible) or not self._limit.attempt(work, divisible):
                pending.extendleft(reversed(_halve(core)))
                continue
            finished += core.size.pixels
            self._progress.report(finished / self._small.pixels, "VAE")
        assert self._result is not None
        return self._result

    def _run_tile(self, core: Region, visible: Region, moments: dict[nn.GroupNorm, Moments]) -> None:
        """Compute `core`, with `visible` as its surroundings, into the result."""
        shrink, grow = self._shrink, self._grow
        # The last tile takes the rows and columns that are left over when the side is halved.
        bottom = self._source.height if visible.bottom == self._small.height else visible.bottom * shrink
        right = self._source.width if visible.right == self._small.width else visible.right * shrink
        x = self._source.rows(visible.y * shrink, bottom)[..., visible.x * shrink : right]
        x = x.to(self._run.device, self._run.dtype)
        y = forward(self._run.network.high_res, x, lambda norm, value: moments[norm].normalized(norm, value))
        inner = core.moved(-visible.x, -visible.y).scaled(grow)
        place = core.scaled(grow)
        kept = y[:, :, inner.rows, inner.columns]
        if self._result is None:
            size = self._small.scaled(grow)
            # An encoder's goes on to its other layers; a decoder's is the picture.
            dtype = self._run.dtype if grow == 1 else torch.float32
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
            x = self._source.rows(0, self._source.height) if share >= 1 else self._reduced(share)
            forward(self._run.network.high_res, x.to(self._run.device, self._run.dtype), measure)

        while not self._limit.attempt(work, self._limit.elements > 1):
            pass
        return moments

    def _reduced(self, share: float) -> Tensor:
        """The input at `share` of its sides.

        Pixels of a picture are averaged. Features are picked, which keeps their variance; with either the other way
        round the result was seen to be further from the exact one.
        """
        source, multiple = self._source, self._shrink
        height, width = (max(1, int(side * share) // multiple) * multiple for side in (source.height, source.width))
        if multiple > 1:
            return F.interpolate(source.rows(0, source.height).float(), (height, width), mode="area")
        columns = _pick(source.width, width)
        return torch.cat([source.rows(row, row + 1)[..., columns] for row in _pick(source.height, height).tolist()], 2)


def _pick(length: int, count: int) -> Tensor:
    """Choose `count` places spread evenly over a side."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * (length / count)).long().clamp_(max=length - 1)


def _cut(size: Size, side: int) -> list[Region]:
    """Cut a size into regions of at most `side` a side, about equal, without overlap."""
    columns, rows = partition(size.width, side), partition(size.height, side)
    return [
        Region.between(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns)
    ]


def _halve(region: Region) -> list[Region]:
    """Cut a region in two across its longer side."""
    x, y, right, bottom = region.x, region.y, region.right, region.bottom
    if region.width >= region.height:
        middle = x + region.width // 2
        return [Region.between(x, y, middle, bottom), Region.between(middle, y, right, bottom)]
    middle = y + region.height // 2
    return [Region.between(x, y, right, middle), Region.between(x, middle, right, bottom)]
