"""Resampling to another size, band by band: never a float copy of the whole picture.

Each band of result rows is a product of small dense matrices with the source rows it needs, vertically and then
horizontally, which is exact and leaves the work to the BLAS library. Values are resampled as they are stored
("gamma-naive"), like every tool of the field does, so results match theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture, opaque_alpha
from lib_upscale.progress import SILENT, Progress, check

__all__ = ["METHODS", "resample", "resample_picture"]

Pixels = NDArray[Any]
Floats = NDArray[np.float32]
Weights = NDArray[np.float64]

_BLOCK = 32
"""Result rows, and columns, computed at a time. Dense products waste work in proportion to it."""


_CHUNK = 128
"""Source rows held as float32 at a time."""


_ONE_THREAD = 2**18
"""Multiplications above which OpenBLAS spreads a product over threads. On a machine whose cores are busy, as they are
while a network computes, these then wait for each other ten times as long as the product takes."""


@dataclass(frozen=True)
class _Kernel:
    """A filter and the distance, in source pixels at 1:1, beyond which it is 0."""

    reach: float
    weight: Callable[[Weights], Weights]


def _lanczos(x: Weights) -> Weights:
    result: Weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return result


def _bicubic(x: Weights) -> Weights:
    """R. Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _bilinear(x: Weights) -> Weights:
    result: Weights = np.maximum(0.0, 1 - np.abs(x))
    return result


def _box(x: Weights) -> Weights:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


_KERNELS: Mapping[str, _Kernel] = {
    "lanczos": _Kernel(3.0, _lanczos),
    "bicubic": _Kernel(2.0, _bicubic),
    "bilinear": _Kernel(1.0, _bilinear),
    "box": _Kernel(0.5, _box),
}

METHODS = (*_KERNELS, "nearest")
"""The names of the methods, best first."""


def resample(pixels: Pixels, size: Size, method: str = "lanczos", *, progress: Progress = SILENT) -> Pixels:
    """`pixels`, (height, width) or (height, width, channels) of uint8 or uint16, at another size.

    Rounded and of the same type. Downscaling widens the filter as far as it takes not to alias. Raises `SettingsError`
    for an unknown method and `CancelledError` between two bands.
    """
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    shape = (size.height, size.width, planes.shape[2])
    if planes.shape == shape:
        return pixels
    if _known(method) == "nearest":
        result: Pixels = planes[_nearest(planes.shape[0], size.height)[:, None], _nearest(planes.shape[1], size.width)]
    else:
        result = np.empty(shape, planes.dtype)
        bands = _Bands(planes.shape[1], planes.shape[0], size, method)
        for rows in bands.rows(progress):
            _store(bands.compute(rows, lambda source: _planar(planes[source])), result[rows])
    return result[..., 0] if pixels.ndim == 2 else result


def resample_picture(picture: Picture, size: Size, method: str = "lanczos", *, progress: Progress = SILENT) -> Picture:
    """A picture at another size, its metadata kept.

    Colors are weighted by their alpha, so that what is hidden under transparent pixels does not bleed into their
    neighbors: no dark fringe. Where the result is fully transparent its color is 0. Raises what `resample` raises.
    """
    if picture.size == size:
        return picture
    if picture.alpha is None or picture.opaque:
        alpha = None if picture.alpha is None else opaque_alpha(size, picture.bits)
        return Picture(resample(picture.pixels, size, method, progress=progress), alpha, picture.metadata)
    if _known(method) == "nearest":
        return Picture(resample(picture.pixels, size, method), resample(picture.alpha, size, method), picture.metadata)
    pixels = np.empty((size.height, size.width, picture.channels), picture.pixels.dtype)
    alpha = np.empty((size.height, size.width), picture.pixels.dtype)
    source_alpha = picture.alpha

    def premultiplied(rows: slice) -> Floats:
        opacity = source_alpha[rows].astype(np.float32) / np.float32(picture.levels)
        # Both from 0 to 1: white times its alpha is then that alpha to the last bit, and divided by it white again.
        return np.concatenate([_planar(picture.pixels[rows]) / np.float32(picture.levels) * opacity, opacity[None]])

    bands = _Bands(picture.size.width, picture.size.height, size, method)
    for rows in bands.rows(progress):
        computed = bands.compute(rows, premultiplied)
        opacity = computed[-1]
        _store(opacity[None] * np.float32(picture.levels), alpha[rows][..., None])
        visible = alpha[rows] > 0
        colors = np.where(visible, computed[:-1] / np.where(visible, opacity, np.float32(1)), np.float32(0))
        _store(colors * np.float32(picture.levels), pixels[rows])
    return Picture(pixels, alpha, picture.metadata)


class _Bands:
    """How the rows of a result come from the rows of a source, some at a time."""

    def __init__(self, width: int, height: int, size: Size, method: str) -> None:
        kernel = _KERNELS[method]
        self._height = size.height
        self._width = size.width
        self._vertical = _Axis(height, size.height, kernel)
        horizontal = _Axis(width, size.width, kernel)
        step = horizontal.block
        self._columns = [
            (slice(start, min(start + step, size.width)), *horizontal.matrix(start, min(start + step, size.width)))
            for start in range(0, size.width, step)
        ]

    def rows(self, progress: Progress) -> Any:
        """The slices of result rows, from the top, with progress told and cancelling heeded before each."""
        for start in range(0, self._height, self._vertical.block):
            check(progress)
            yield slice(start, min(start + self._vertical.block, self._height))
            progress.report(min(start + self._vertical.block, self._height) / self._height)

    def compute(self, rows: slice, source: Callable[[slice], Floats]) -> Floats:
        """Result rows as (channels, rows, width); `source` gives source rows as (channels, rows, width)."""
        needed, weights = self._vertical.matrix(rows.start, rows.stop)
        narrow: Any = None
        for start in range(needed.start, needed.stop, _CHUNK):
            part = slice(start, min(start + _CHUNK, needed.stop))
            share = weights[:, part.start - needed.start : part.stop - needed.start]
            product = _product(share, source(part))
            narrow = product if narrow is None else np.add(narrow, product, out=narrow)
        wide = np.empty((*narrow.shape[:2], self._width), np.float32)
        for columns, taken, matrix in self._columns:
            np.matmul(narrow[:, :, taken], matrix.T, out=wide[:, :, columns])
        return wide


def _product(weights: Floats, planes: Floats) -> Floats:
    """`weights` (results, rows) times each of `planes` (channels, rows, width), in parts of the width."""
    result = np.empty((planes.shape[0], weights.shape[0], planes.shape[2]), np.float32)
    step = max(16, _ONE_THREAD // weights.size)
    for start in range(0, planes.shape[2], step):
        part = slice(start, start + step)
        np.matmul(weights, planes[:, :, part], out=result[:, :, part])
    return result


class _Axis:
    """The weights along one direction, from `source` pixels to `result` pixels.

    The same sums as Pillow's: a result pixel's center lies at (i + 0.5) * source / result, the kernel is widened when
    downscaling, cut at the border, and its weights brought to a sum of 1.
    """

    def __init__(self, source: int, result: int, kernel: _Kernel) -> None:
        self._source, self._kernel = source, kernel
        self._ratio = source / result
        self._stretch = max(1.0, self._ratio)
        # Downscaling far needs long stretches of source for few results: fewer of those at a time, but enough that
        # what neighboring blocks both need stays a small part.
        self.block = max(8, min(_BLOCK, math.ceil(_BLOCK / self._ratio * 4)))

    def matrix(self, start: int, stop: int) -> tuple[slice, Floats]:
        """The stretch of source pixels that results `start` to `stop` - 1 need, and the weights (results, source)."""
        reach = self._kernel.reach * self._stretch
        centers = (np.arange(start, stop) + 0.5) * self._ratio
        first = max(0, math.floor(centers[0] - reach + 0.5))
        last = min(self._source, max(first + 1, math.floor(centers[-1] + reach + 0.5)))
        positions = np.arange(first, last) + 0.5
        distances = (positions[None] - centers[:, None]) / self._stretch
        weights = self._kernel.weight(distances)
        weights /= weights.sum(axis=1, keepdims=True)
        return slice(first, last), weights.astype(np.float32)


def _known(method: str) -> str:
    if method not in METHODS:
        raise SettingsError(f"There is no resampling method '{method}'", f"choose one of {', '.join(METHODS)}")
    return method


def _nearest(source: int, result: int) -> NDArray[np.int64]:
    return (np.arange(result, dtype=np.int64) * 2 + 1) * source // (2 * result)


def _planar(rows: Pixels) -> Floats:
    """(rows, width, channels) as float32 (channels, rows, width)."""
    planes: Floats = np.ascontiguousarray(rows.transpose(2, 0, 1), np.float32)
    return planes


def _store(values: Floats, into: Pixels) -> None:
    """Write (channels, rows, width) into (rows, width, channels), rounded and held within the type's range."""
    np.rint(values, out=values)
    np.clip(values, 0, np.iinfo(into.dtype).max, out=values)
    into[...] = values.transpose(1, 2, 0)
