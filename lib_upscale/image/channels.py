"""A picture's channels in and out of networks that have 1, 3 or 4 of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Size
from lib_upscale.image.resample import resample

__all__ = ["adapt_channels", "restore_channels"]

_ROWS = 256

# ITU-R BT.601, the luma that JPEG and every gray-scale network of the field uses.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def adapt_channels(pixels: NDArray[Any], channels: int, alpha: NDArray[Any] | None = None) -> NDArray[Any]:
    """`pixels` (height x width x 1 or 3) as a network of `channels` channels wants them.

    A fourth channel is the alpha, or full where there is none. More than four, or two, get their last repeated.
    """
    have = pixels.shape[2]
    if channels == have:
        return pixels
    if channels == 1:
        return _rounded(pixels, lambda band: band @ _LUMA[:, None])
    color = pixels.repeat(3, axis=2) if have == 1 else pixels
    if channels == 3:
        return color
    levels = np.iinfo(pixels.dtype).max
    top = np.full(pixels.shape[:2], levels, pixels.dtype) if alpha is None else alpha
    return np.dstack([color, *[top] * (channels - 3)])[..., :channels]


def restore_channels(result: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    """A network's result (height x width x any) with the channels of its source (1 or 3), colors kept.

    A gray result of a color picture is its luma: the color comes from the source, resampled.
    """
    want, have = source.shape[2], result.shape[2]
    if want == have:
        return result
    if want == 1:
        return _rounded(result[..., :3], lambda band: band @ _LUMA[:, None]) if have >= 3 else result[..., :1]
    if have >= 3:
        return result[..., :3]
    large = resample(source, Size(result.shape[1], result.shape[0]), "lanczos")
    colored = np.empty((*result.shape[:2], 3), result.dtype)
    for start in range(0, len(result), _ROWS):
        rows = slice(start, start + _ROWS)
        band = large[rows].astype(np.float32)
        # Adding the same to all three keeps what BT.601 calls color: the differences from the luma.
        band += result[rows, :, :1].astype(np.float32) - (band @ _LUMA)[..., None]
        colored[rows] = np.rint(np.clip(band, 0, np.iinfo(result.dtype).max))
    return colored


def _rounded(pixels: NDArray[Any], change: Any) -> NDArray[Any]:
    bands = [change(pixels[start : start + _ROWS].astype(np.float32)) for start in range(0, len(pixels), _ROWS)]
    return np.concatenate([np.rint(band).astype(pixels.dtype) for band in bands])
