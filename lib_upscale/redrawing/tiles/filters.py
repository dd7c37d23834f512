"""Filters on float32 arrays (height, width[, channels]): blurs, brightness, reflection padding, resizing of masks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import LUMA

__all__ = ["Pixels", "Plane", "a_trous", "gaussian", "luma", "reflect_pad", "resize"]

Pixels = NDArray[np.float32]
"""A picture: (height, width, 3), 0 to 1."""
Plane = NDArray[np.float32]
"""One number per pixel: (height, width)."""

_SPLINE: NDArray[np.float32] = np.array([1, 4, 6, 4, 1], dtype=np.float32) / np.float32(16)


def luma(pixels: Pixels) -> Plane:
    """Compute the brightness of (height, width, 3) by ITU-R BT.601, whose weights Pillow's mode L has."""
    return np.asarray(pixels @ LUMA, dtype=np.float32)


def gaussian(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur by a gaussian of `sigma` pixels, cut at 3 sigma; borders are reflected."""
    if sigma < 0.1:  # its neighbors' taps are nothing in 32 bits
        return values
    # A wide blur is made of a narrow one and of taps that lie further apart: variances add.
    levels = max(0, int(math.log2(sigma / 4)))
    spacing = 2**levels
    values, sigma = a_trous(values, levels), math.sqrt(sigma**2 - (4**levels - 1) / 3) / spacing
    radius = max(1, math.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel: NDArray[np.float32] = np.asarray(taps / taps.sum(), dtype=np.float32)
    return _convolve(_convolve(values, kernel, 0, spacing), kernel, 1, spacing)


def a_trous(values: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Compute the approximation left by `levels` steps of the a-trous wavelet transform with a cubic B-spline.

    It is a blur whose standard deviation is sqrt((4**levels - 1) / 3) pixels; borders are reflected.
    Source: Starck, Murtagh, Bijaoui 1998, Image Processing and Data Analysis.
    """
    for level in range(levels):
        values = _convolve(_convolve(values, _SPLINE, 0, 2**level), _SPLINE, 1, 2**level)
    return values


def _convolve(
    values: NDArray[np.float32], kernel: NDArray[np.float32], axis: int, dilation: int
) -> NDArray[np.float32]:
    """Correlate along one axis with a symmetric kernel whose taps lie `dilation` pixels apart."""
    half = len(kernel) // 2
    margin = half * dilation
    widths = [(margin, margin) if a == axis else (0, 0) for a in range(values.ndim)]
    padded = np.pad(values, widths, mode="reflect")
    length = values.shape[axis]

    def shifted(offset: int) -> NDArray[np.float32]:
        index = [slice(None)] * values.ndim
        index[axis] = slice(margin + offset, margin + offset + length)
        return padded[tuple(index)]

    result = shifted(0) * kernel[half]
    pair = np.empty_like(result)
    for tap in range(1, half + 1):
        np.add(shifted(-tap * dilation), shifted(tap * dilation), out=pair)
        pair *= kernel[half + tap]
        result += pair
    return np.asarray(result, dtype=np.float32)


def reflect_pad(values: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Grow to `size` by reflection at the right and at the bottom; the top left corner stays."""
    height, width = values.shape[:2]
    missing = [(0, size.height - height), (0, size.width - width), *[(0, 0)] * (values.ndim - 2)]
    return np.pad(values, missing, mode="reflect") if size != Size(width, height) else values


def resize(plane: Plane, size: Size) -> Plane:
    """Resize a mask or map by bilinear filtering, which keeps values between the smallest and the largest."""
    if (size.height, size.width) == plane.shape:
        return plane
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((size.width, size.height), Image.Resampling.BILINEAR), dtype=np.float32)
