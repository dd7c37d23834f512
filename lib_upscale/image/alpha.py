"""Transparency: what to do with it, and what lies under it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.picture import Picture

__all__ = ["WHITE", "AlphaMode", "drop_alpha", "flatten_hidden_color"]

Pixels = NDArray[Any]
Floats = NDArray[np.float32]

WHITE = (255, 255, 255)

_ROWS = 256


class AlphaMode(str, Enum):
    """How a picture's transparency reaches the result."""

    MODEL = "model"
    """Upscaled by the model, as a gray picture of its own."""
    RESAMPLE = "resample"
    """Resampled; cheaper, and softer at its edges."""
    DROP = "drop"
    """Not at all: the picture is laid on a background."""


def drop_alpha(picture: Picture, background: tuple[int, int, int] = WHITE) -> Picture:
    """The picture laid on a color (red, green, blue, 0 to 255), without an alpha channel.

    A gray picture becomes RGB if the color is not gray.
    """
    if picture.alpha is None:
        return picture
    if picture.opaque:
        return Picture(picture.pixels, None, picture.metadata)
    channels = 1 if picture.channels == 1 and len(set(background)) == 1 else 3
    color = np.array(background[:channels], np.float32) * np.float32(picture.levels / 255)
    result = np.empty((*picture.pixels.shape[:2], channels), picture.pixels.dtype)
    for start in range(0, picture.size.height, _ROWS):
        rows = slice(start, start + _ROWS)
        opacity = (picture.alpha[rows].astype(np.float32) / np.float32(picture.levels))[..., None]
        result[rows] = np.rint(picture.pixels[rows] * opacity + color * (1 - opacity))
    return Picture(result, None, picture.metadata)


def flatten_hidden_color(pixels: Pixels, alpha: Pixels) -> Pixels:
    """`pixels` (height, width, channels) with the color of fully transparent ones grown outward from the visible ones.

    A network mixes neighbors without knowing of alpha; with this no black from under transparent pixels gets into an
    edge. Visible pixels, however faint, stay as they are. `alpha` is (height, width). A picture without any visible
    pixel is given back unchanged.

    The method is push-pull (Gortler et al., The Lumigraph, 1996, section 3.4): averages over visible pixels at halved
    and again halved sizes, then each gap filled from the next coarser size. Time is proportional to the pixels.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    color, weight = _pushed_from_pixels(pixels, alpha)
    levels: list[tuple[Floats, Floats]] = [(color, weight)]
    while max(weight.shape) > 1:
        color, weight = _halved(color, weight)
        levels.append((color, weight))
    filled: Floats = _normalized(*levels.pop())
    while levels:
        color, weight = levels.pop()
        rows = slice(0, weight.shape[0])
        filled = _doubled(filled, rows, weight.shape[1])
        np.copyto(filled, _normalized(color, weight), where=weight[..., None] > 0)
    result: Pixels = pixels.copy()
    for start in range(0, pixels.shape[0], _ROWS):
        rows = slice(start, min(start + _ROWS, pixels.shape[0]))
        gaps = hidden[rows]
        if gaps.any():
            result[rows][gaps] = np.rint(_doubled(filled, rows, pixels.shape[1])[gaps])
    return result


def _pushed_from_pixels(pixels: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """The first halving, by bands: the full size is never held as floats."""
    height, width, channels = pixels.shape
    color = np.empty((-(-height // 2), -(-width // 2), channels), np.float32)
    weight = np.empty(color.shape[:2], np.float32)
    for start in range(0, height, _ROWS):
        opacity = alpha[start : start + _ROWS].astype(np.float32)
        half = slice(start // 2, start // 2 + -(-len(opacity) // 2))
        color[half], weight[half] = _halved(pixels[start : start + _ROWS] * opacity[..., None], opacity)
    # Only ratios matter; near 1 they stay exact however often they are halved.
    top = weight.max()
    color /= top
    weight /= top
    return color, weight


def _halved(color: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Means of 2x2 pixels, a last odd row or column meeting nothing."""
    odd = ((0, weight.shape[0] % 2), (0, weight.shape[1] % 2))
    return _mean_of_four(np.pad(color, (*odd, (0, 0)))), _mean_of_four(np.pad(weight, odd))


def _mean_of_four(values: Floats) -> Floats:
    total: Floats = values[0::2, 0::2] + values[1::2, 0::2]
    total += values[0::2, 1::2]
    total += values[1::2, 1::2]
    total *= 0.25
    return total


def _normalized(color: Floats, weight: Floats) -> Floats:
    safe: Floats = np.where(weight > 0, weight, np.float32(1))
    result: Floats = color / safe[..., None]
    return result


def _doubled(coarse: Floats, rows: slice, width: int) -> Floats:
    """Rows of the next finer size, `width` wide, interpolated between the centers of the coarse pixels."""
    tall = _between(coarse, np.arange(rows.start, rows.stop))
    wide: Floats = _between(tall.swapaxes(0, 1), np.arange(width)).swapaxes(0, 1)
    return wide


def _between(coarse: Floats, fine: NDArray[np.int64]) -> Floats:
    near = fine // 2
    far = np.clip(near + np.where(fine % 2, 1, -1), 0, len(coarse) - 1)
    result: Floats = coarse[near] * np.float32(0.75) + coarse[far] * np.float32(0.25)
    return result
