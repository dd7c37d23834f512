"""Layers of a VAE run over a whole picture in bands of rows: exactly what they give in one go.

The device holds one band at a time, the rest lies in `Bands`. A convolution's band is read with the rows that the
kernel reaches into, and the statistics of the next norm are gathered while a layer's output is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError
from lib_upscale.progress import Progress, check
from lib_upscale.vae.bands import Bands, Moments, Scratch
from lib_upscale.vae.layers import (
    Attention,
    Convolve,
    Downsample,
    Layer,
    OutputHead,
    Resnet,
    Upsample,
    attended,
    convolved,
    doubled,
    halved,
)

__all__ = ["Limit", "Streamed", "cost"]

_CHUNK = 4096  # queries, and keys, of one block of attention scores: 64 MiB of them


@dataclass
class Limit:
    """How many numbers one activation may have on the device. Halved when memory runs out, and it stays so."""

    elements: int
    device: torch.device
    tried: list[int] = field(default_factory=list)

    def fits(self, work: Callable[[], None], divisible: bool) -> bool:
        """Do the work. False if memory ran out: the limit is lower now. Raises `OutOfMemoryError` if not divisible."""
        if _done(work):
            return True
        # Outside of the handler, whose traceback would keep the tensors alive.
        release_memory(self.device)
        self.tried.append(self.elements)
        if not divisible:
            raise OutOfMemoryError(
                f"Memory ran out on {self.device} even with the smallest part of the VAE's work",
                "close other programs, or compute on the CPU",
            )
        self.elements = max(1, self.elements // 2)
        return False


def _done(work: Callable[[], None]) -> bool:
    try:
        work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


class Streamed:
    """Runs layers over `Bands`."""

    def __init__(
        self, scratch: Scratch, limit: Limit, dtype: torch.dtype, progress: Progress, total: float
    ) -> None:  # fmt: skip
        """`total` is the sum of `cost` of all that will be run, for the progress."""
        self._scratch, self._limit, self._dtype = scratch, limit, dtype
        self._progress, self._total, self._spent = progress, max(total, 1.0), 0.0

    def run(self, layers: Sequence[Layer], source: Bands) -> Bands:
        """The layers' output. `source` is used up."""
        for index, layer in enumerate(layers):
            groups = _groups(layers[index + 1]) if index + 1 < len(layers) else 0
            if (needed := _groups(layer)) and source.moments is None:
                self._measure(source, needed)
            begun = self._spent
            price = cost([layer], source.height, source.width)
            source = self._layer(layer, source, groups, price)
            self._spent = begun + price
        return source

    def _layer(self, layer: Layer, source: Bands, groups: int, price: float) -> Bands:
        if isinstance(layer, Convolve):
            return self._convolve(layer.conv, lambda x: x, source, groups, price)
        if isinstance(layer, Resnet):
            return self._resnet(layer, source, groups, price)
        if isinstance(layer, Attention):
            return self._attention(layer, source, groups, price)
        if isinstance(layer, Downsample):
            return self._downsample(layer, source, groups, price)
        if isinstance(layer, Upsample):
            return self._double(layer, source, groups, price)
        moments, finish = _known(source), layer

        def end(x: Tensor) -> Tensor:
            return F.silu(moments.normalized(finish.norm, x), inplace=True)

        return self._convolve(layer.conv, end, source, groups, price, tanh=layer.tanh)

    def _convolve(
        self, conv: nn.Conv2d, before: Callable[[Tensor], Tensor], source: Bands, groups: int, price: float,
        tanh: bool = False,
    ) -> Bands:  # fmt: skip
        result = Bands(self._scratch)

        def work(top: int, bottom: int) -> None:
            y = self._around(conv, before, source, top, bottom)
            result.append(top, y.tanh_() if tanh else y, groups)
            source.forget(bottom - 1)

        self._sweep(source.height, source.width * max(conv.in_channels, conv.out_channels), price, work)
        source.forget(source.height)
        return result

    def _resnet(self, layer: Resnet, source: Bands, groups: int, price: float) -> Bands:
        moments, shortcut = _known(source), layer.shortcut
        inner = Bands(self._scratch)
        result = source if shortcut is None else Bands(self._scratch)

        def first(top: int, bottom: int) -> None:
            y = self._around(
                layer.conv1, lambda x: F.silu(moments.normalized(layer.norm1, x), inplace=True), source, top, bottom
            )
            passed = None if shortcut is None else self._around(shortcut, lambda x: x, source, top, bottom)
            inner.append(top, y, layer.norm2.num_groups)
            if passed is not None:
                result.append(top, passed)
                source.forget(bottom - 1)

        widest = source.width * max(layer.conv1.in_channels, layer.conv2.out_channels)
        self._sweep(source.height, widest, price / 2, first)
        if shortcut is not None:
            source.forget(source.height)
        between = _known(inner)
        result.restart()

        def second(top: int, bottom: int) -> None:
            y = self._around(
                layer.conv2, lambda x: F.silu(between.normalized(layer.norm2, x), inplace=True), inner, top, bottom
            )
            result.replace(top, y.add_(self._load(result, top, bottom)), groups)
            inner.forget(bottom - 1)

        self._sweep(inner.height, widest, price / 2, second)
        inner.forget(inner.height)
        return result

    def _attention(self, layer: Attention, source: Bands, groups: int, price: float) -> Bands:
        moments = _known(source)
        queries, keys, values = (Bands(self._scratch) for _ in range(3))
        height, row = source.height, source.width * source.channels

        def project(top: int, bottom: int) -> None:
            x = moments.normalized(layer.norm, self._load(source, top, bottom))
            made = [convolved(conv, x) for conv in (layer.q, layer.k, layer.v)]
            for bands, y in zip((queries, keys, values), made, strict=True):
                bands.append(top, y)

        self._sweep(height, row, 0, project)
        source.restart()
        step = max(1, _CHUNK // source.width)

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for top in range(0, height, step):
                check(self._progress)
                bottom = min(height, top + step)
                yield self._load(keys, top, bottom).flatten(2), self._load(values, top, bottom).flatten(2)

        def attend(top: int, bottom: int) -> None:
            x = self._load(queries, top, bottom)
            mixed = attended(x.flatten(2), pairs()).reshape(x.shape)
            y = convolved(layer.proj_out, mixed)
            source.replace(top, y.add_(self._load(source, top, bottom)), groups)

        # The block of scores is the largest thing there is.
        self._sweep(height, max(row, source.width * _CHUNK), price, attend, at_most=step)
        for bands in (queries, keys, values):
            bands.forget(height)
        return source

    def _downsample(self, layer: Downsample, source: Bands, groups: int, price: float) -> Bands:
        result, height = Bands(self._scratch), source.height
        reach = 0 if layer.conv is None else 1

        def work(top: int, bottom: int) -> None:
            end = 2 * bottom + reach
            x = self._load(source, 2 * top, min(end, height))
            result.append(top, halved(layer, x, bottom=end > height), groups)
            source.forget(2 * bottom)

        self._sweep(height // 2, 2 * source.width * source.channels, price, work)
        source.forget(height)
        return result

    def _double(self, layer: Upsample, source: Bands, groups: int, price: float) -> Bands:
        result, height = Bands(self._scratch), source.height

        def work(top: int, bottom: int) -> None:
            low, high = max(0, (top - 1) // 2), min(height, bottom // 2 + 1)
            y = doubled(layer, self._load(source, low, high))
            result.append(top, y[:, :, top - 2 * low : bottom - 2 * low], groups)
            source.forget((bottom - 1) // 2)

        self._sweep(2 * height, 2 * source.width * source.channels, price, work)
        source.forget(height)
        return result

    def _measure(self, source: Bands, groups: int) -> None:
        def work(top: int, bottom: int) -> None:
            source.measure(top, self._load(source, top, bottom), groups)

        self._sweep(source.height, source.width * source.channels, 0, work)

    def _around(
        self, conv: nn.Conv2d, before: Callable[[Tensor], Tensor], source: Bands, top: int, bottom: int
    ) -> Tensor:  # fmt: skip
        """The rows from `top` to `bottom` of `conv(before(source))`.

        The convolution pads each band with zeros, as it pads the picture. At the picture's borders that is right;
        elsewhere what it spoils is the row beyond, which is cut off.
        """
        reach = int(conv.kernel_size[0]) // 2
        low, high = max(0, top - reach), min(source.height, bottom + reach)
        y = convolved(conv, before(self._load(source, low, high)))
        return y[:, :, top - low : bottom - low]

    def _load(self, source: Bands, top: int, bottom: int) -> Tensor:
        return source.rows(top, bottom).to(self._limit.device, self._dtype)

    def _sweep(
        self, height: int, row: int, price: float, work: Callable[[int, int], None], at_most: int = 2**31
    ) -> None:  # fmt: skip
        """Call `work` with bands from the top down, as high as the limit allows for `row` numbers in a row."""
        top, begun = 0, self._spent
        while top < height:
            check(self._progress)
            bottom = min(height, top + min(at_most, max(1, self._limit.elements // row)))
            if self._limit.fits(partial(work, top, bottom), bottom - top > 1):
                top = bottom
                self._spent = begun + price * top / height
                self._progress.report(min(1.0, self._spent / self._total), "VAE")
        self._spent = begun + price


def cost(layers: Sequence[Layer], height: int, width: int) -> float:
    """Multiplications that layers need for an input of that size."""
    total = 0.0
    for layer in layers:
        if isinstance(layer, Downsample):
            height, width = height // 2, width // 2
        elif isinstance(layer, Upsample):
            height, width = height * 2, width * 2
        convs = [part for part in vars(layer).values() if isinstance(part, nn.Conv2d)]
        each = sum(c.in_channels * c.out_channels * c.kernel_size[0] * c.kernel_size[1] for c in convs)
        total += each * height * width
        if isinstance(layer, Attention):
            total += 2.0 * layer.q.out_channels * (height * width) ** 2
    return total


def _groups(layer: Layer) -> int:
    """Groups of the norm that comes first in a layer, 0 if none does."""
    if isinstance(layer, Resnet):
        return layer.norm1.num_groups
    return layer.norm.num_groups if isinstance(layer, (Attention, OutputHead)) else 0


def _known(bands: Bands) -> Moments:
    assert bands.moments is not None
    return bands.moments
