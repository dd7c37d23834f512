"""Adapts an image's channels to networks that take 1, 3 or 4, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import LUMA, row_bands
from lib_upscale.image.resampling import resample

__all__ = ["adapt_channels", "restore_channels"]


def adapt_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    """Bring pixels to the number of channels that a network takes.

    Args:
        pixels: (height, width, 1 or 3).
        channels: Of the network. What is beyond three is full, as the alpha of an opaque image is.

    Returns:
        (height, width, channels) of the same type.
    """
    have = pixels.shape[2]
    if channels == have:
        return pixels
    if channels == 1:
        return _luma(pixels)
    color = pixels.repeat(3, axis=2) if have == 1 else pixels
    if channels == 3:
        return color
    full = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)
    return np.dstack([color, *[full] * (channels - 3)])[..., :channels]


def restore_channels(result: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    """Bring a network's result to the channels of its source, colors kept.

    A gray result of a color image is its luma: the color comes from the source, resampled.

    Args:
        result: (height, width, any number of channels).
        source: (height, width, 1 or 3), of the same type and any size.

    Returns:
        (height, width, 1 or 3) of the result's size.
    """
    want, have = source.shape[2], result.shape[2]
    if want == have:
        return result
    if want == 1:
        return _luma(result[..., :3]) if have >= 3 else result[..., :1]
    if have >= 3:
        return result[..., :3]
    large = resample(source, Size(result.shape[1], result.shape[0]), "lanczos")
    colored = np.empty((*result.shape[:2], 3), result.dtype)
    for rows in row_bands(len(result)):
        band = large[rows].astype(np.float32)
        # Adding the same to all three keeps what BT.601 calls color: the differences from the luma.
        band += result[rows, :, :1].astype(np.float32) - (band @ LUMA)[..., None]
        colored[rows] = np.rint(np.clip(band, 0, np.iinfo(result.dtype).max))
    return colored


def _luma(pixels: NDArray[Any]) -> NDArray[Any]:
    luma = np.empty((*pixels.shape[:2], 1), pixels.dtype)
    for rows in row_bands(len(pixels)):
        luma[rows] = np.rint(pixels[rows].astype(np.float32) @ LUMA[:, None])
    return luma
