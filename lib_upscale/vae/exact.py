"""Runs the layers of a VAE over a whole picture in bands of rows, with the same result as in one go.

The device holds one band at a time, the rest lies in `Bands`. A convolution's band is read with the rows that the
kernel reaches into, and the statistics of the next norm are gathered while a layer's output is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial, singledispatchmethod

import torch
from torch import Tensor, nn

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError
from lib_upscale.progress import Progress, check
from lib_upscale.vae.bands import Bands, Scratch
from lib_upscale.vae.layers import (
    Attention,
    Convolve,
    Downsample,
    Layer,
    Normalize,
    Resnet,
    Upsample,
    activate,
    attend,
    convolve,
)

__all__ = ["ActivationLimit", "BandRunner", "multiplications"]

_CHUNK = 4096
"""Queries, and keys, of one block of attention scores: 64 MiB of them in float32."""

_Work = Callable[[int, int], None]
"""Computes the rows from the first number up to the second."""


@dataclass
class ActivationLimit:
    """How many numbers one activation may have on the device. Halved when memory runs out, and it stays so."""

    elements: int
    device: torch.device
    was_lowered: bool = field(default=False, init=False)

    def attempt(self, work: Callable[[], None], divisible: bool) -> bool:
        """Do the work.

        Returns:
            False if memory ran out; the limit is lower then.

        Raises:
            OutOfMemoryError: Memory ran out and the work is not `divisible`.
        """
        if _fits(work):
            return True
        # Outside of the handler, whose traceback would keep the tensors alive.
        release_memory(self.device)
        self.was_lowered = True
        if not divisible:
            raise OutOfMemoryError(
                f"Memory ran out on {self.device} even with the smallest part of the VAE's work",
                "close other programs, or compute on the CPU",
            )
        self.elements = max(1, self.elements // 2)
        return False


def _fits(work: Callable[[], None]) -> bool:
    try:
        work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


class BandRunner:
    """Runs layers over `Bands`. `total` is the sum of `multiplications` of all that will be run, for the progress."""

    def __init__(
        self, scratch: Scratch, limit: ActivationLimit, dtype: torch.dtype, progress: Progress, total: float
    ) -> None:
        self._scratch, self._limit, self._dtype = scratch, limit, dtype
        self._progress, self._total, self._spent = progress, max(total, 1.0), 0.0

    def run(self, layers: Sequence[Layer], source: Bands) -> Bands:
        """Return the layers' output. `source` is used up."""
        for index, layer in enumerate(layers):
            following = layers[index + 1].norm if index + 1 < len(layers) else None
            if layer.norm is not None and source.moments is None:
                self._measure(source, layer.norm.num_groups)
            before = self._spent
            price = multiplications([layer], source.height, source.width)
            source = self._run(layer, source, following.num_groups if following else 0, price)
            self._spent = before + price
        return source

    @singledispatchmethod
    def _run(self, layer: Layer, source: Bands, groups: int, price: float) -> Bands:
        """Run one layer; note the moments of `groups` groups of its output for the next layer's norm."""
        raise TypeError(layer)

    @_run.register
    def _convolve(self, layer: Convolve, source: Bands, groups: int, price: float) -> Bands:
        result, conv = Bands(self._scratch), layer.conv
        before = _activation(layer.norm, source)

        def work(top: int, bottom: int) -> None:
            y = self._convolve_rows(conv, before, source, top, bottom)
            result.append(top, y.tanh_() if layer.tanh else y, groups)
            source.forget(bottom - 1)

        self._sweep(source.height, source.width * max(conv.in_channels, conv.out_channels), price, work)
        source.forget(source.height)
        return result

    @_run.register
    def _resnet(self, layer: Resnet, source: Bands, groups: int, price: float) -> Bands:
        shortcut = layer.shortcut
        inner = Bands(self._scratch)
        result = source if shortcut is None else Bands(self._scratch)
        before = _activation(layer.norm, source)

        def first(top: int, bottom: int) -> None:
            y = self._convolve_rows(layer.conv1, before, source, top, bottom)
            passed = None if shortcut is None else self._convolve_rows(shortcut, _identity, source, top, bottom)
            inner.append(top, y, layer.norm2.num_groups)
            if passed is not None:
                result.append(top, passed)
                source.forget(bottom - 1)

        widest = source.width * max(layer.conv1.in_channels, layer.conv2.out_channels)
        self._sweep(source.height, widest, price / 2, first)
        if shortcut is not None:
            source.forget(source.height)
        between = _activation(layer.norm2, inner)
        result.restart()

        def second(top: int, bottom: int) -> None:
            y = self._convolve_rows(layer.conv2, between, inner, top, bottom)
            result.replace(top, y.add_(self._load(result, top, bottom)), groups)
            inner.forget(bottom - 1)

        self._sweep(inner.height, widest, price / 2, second)
        inner.forget(inner.height)
        return result

    @_run.register
    def _attention(self, layer: Attention, source: Bands, groups: int, price: float) -> Bands:
        normalize = _normalize(source)
        queries, keys, values = (Bands(self._scratch) for _ in range(3))
        height, row = source.height, source.width * source.channels

        def project(top: int, bottom: int) -> None:
            x = normalize(layer.norm, self._load(source, top, bottom))
            projections = [convolve(conv, x) for conv in (layer.q, layer.k, layer.v)]
            for bands, y in zip((queries, keys, values), projections, strict=True):
                bands.append(top, y)

        self._sweep(height, row, 0, project)
        source.restart()
        step = max(1, _CHUNK // source.width)

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for top in range(0, height, step):
                check(self._progress)
                bottom = min(height, top + step)
                yield self._load(keys, top, bottom).flatten(2), self._load(values, top, bottom).flatten(2)

        def mix(top: int, bottom: int) -> None:
            x = self._load(queries, top, bottom)
            mixed = attend(x.flatten(2), pairs()).reshape(x.shape)
            y = convolve(layer.proj_out, mixed)
            source.replace(top, y.add_(self._load(source, top, bottom)), groups)

        # The block of scores is the largest thing there is.
        self._sweep(height, max(row, source.width * _CHUNK), price, mix, at_most=step)
        for bands in (queries, keys, values):
            bands.forget(height)
        return source

    @_run.register
    def _downsample(self, layer: Downsample, source: Bands, groups: int, price: float) -> Bands:
        result, height = Bands(self._scratch), source.height
        reach = 0 if layer.conv is None else 1

        def work(top: int, bottom: int) -> None:
            end = 2 * bottom + reach
            x = self._load(source, 2 * top, min(end, height))
            result.append(top, layer.halve(x, ends_picture=end > height), groups)
            source.forget(2 * bottom)

        self._sweep(height // 2, 2 * source.width * source.channels, price, work)
        source.forget(height)
        return result

    @_run.register
    def _upsample(self, layer: Upsample, source: Bands, groups: int, price: float) -> Bands:
        result, height = Bands(self._scratch), source.height

        def work(top: int, bottom: int) -> None:
            low, high = max(0, (top - 1) // 2), min(height, bottom // 2 + 1)
            y = layer.double(self._load(source, low, high))
            result.append(top, y[:, :, top - 2 * low : bottom - 2 * low], groups)
            source.forget((bottom - 1) // 2)

        self._sweep(2 * height, 2 * source.width * source.channels, price, work)
        source.forget(height)
        return result

    def _measure(self, source: Bands, groups: int) -> None:
        def work(top: int, bottom: int) -> None:
            source.measure(top, self._load(source, top, bottom), groups)

        self._sweep(source.height, source.width * source.channels, 0, work)

    def _convolve_rows(
        self, conv: nn.Conv2d, before: Callable[[Tensor], Tensor], source: Bands, top: int, bottom: int
    ) -> Tensor:
        """The rows from `top` to `bottom` of `conv(before(source))`.

        The convolution pads each band with zeros, as it pads the picture. At the picture's borders that is right;
        elsewhere what it spoils is the row beyond, which is cut off.
        """
        reach = int(conv.kernel_size[0]) // 2
        low, high = max(0, top - reach), min(source.height, bottom + reach)
        y = convolve(conv, before(self._load(source, low, high)))
        return y[:, :, top - low : bottom - low]

    def _load(self, source: Bands, top: int, bottom: int) -> Tensor:
        return source.rows(top, bottom).to(self._limit.device, self._dtype)

    def _sweep(self, height: int, row: int, price: float, work: _Work, at_most: int = 2**31) -> None:
        """Call `work` with bands from the top down, as high as the limit allows for `row` numbers in a row."""
        top, before = 0, self._spent
        while top < height:
            check(self._progress)
            bottom = min(height, top + min(at_most, max(1, self._limit.elements // row)))
            if self._limit.attempt(partial(work, top, bottom), bottom - top > 1):
                top = bottom
                self._spent = before + price * top / height
                self._progress.report(min(1.0, self._spent / self._total), "VAE")
        self._spent = before + price


def multiplications(layers: Sequence[Layer], height: int, width: int) -> float:
    """Count the multiplications that layers need for an input of that size."""
    total = 0.0
    for layer in layers:
        height, width = int(height * layer.scale), int(width * layer.scale)
        total += layer.multiplications(height, width)
    return total


def _normalize(bands: Bands) -> Normalize:
    """Norms with the moments of all of `bands`."""
    moments = bands.moments
    assert moments is not None
    return moments.normalized


def _activation(norm: nn.GroupNorm | None, bands: Bands) -> Callable[[Tensor], Tensor]:
    """What a layer with that norm does to its input, `bands`, before it convolves."""
    if norm is None:
        return _identity
    normalize = _normalize(bands)
    return lambda x: activate(norm, x, normalize)


def _identity(x: Tensor) -> Tensor:
    return x
