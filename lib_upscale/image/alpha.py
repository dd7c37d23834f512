"""Alpha handling: compositing on a background, and colors for what is fully transparent."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.levels import row_bands, to_floats
from lib_upscale.image.picture import Picture, Pixels
from lib_upscale.spread import ceil_div

__all__ = ["WHITE", "AlphaMode", "clean_alpha", "drop_alpha", "flatten_hidden_color"]

Floats = NDArray[np.float32]

WHITE = (255, 255, 255)


class AlphaMode(str, Enum):
    """What becomes of an image's transparency."""

    MODEL = "model"
    """Upscaled by the model, as a gray image of its own."""
    RESAMPLE = "resample"
    """Resampled; cheaper, and softer at its edges."""
    DROP = "drop"
    """Dropped: the image is laid on a background."""


def drop_alpha(picture: Picture, background: tuple[int, int, int] = WHITE) -> Picture:
    """Lay a picture on a color, which leaves no alpha channel.

    Args:
        picture: With alpha or without.
        background: Red, green, blue, 0 to 255. A gray picture becomes RGB if the color is not gray.
    """
    if picture.alpha is None:
        return picture
    if picture.opaque:
        return Picture(picture.pixels, None, picture.metadata)
    channels = 1 if picture.channels == 1 and len(set(background)) == 1 else 3
    color = np.array(background[:channels], np.float32) * np.float32(picture.levels / 255)
    result = np.empty((*picture.pixels.shape[:2], channels), picture.pixels.dtype)
    for rows in row_bands(picture.size.height):
        opacity = to_floats(picture.alpha[rows])[..., None]
        result[rows] = np.rint(picture.pixels[rows] * opacity + color * (1 - opacity))
    return Picture(result, None, picture.metadata)


def flatten_hidden_color(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Fill fully transparent pixels with the color of the visible ones around them.

    A network mixes neighbors without knowing of alpha; with this no black from under transparent pixels gets into an
    edge. Visible pixels, however faint, stay as they are; so does all where none is visible. The time is proportional
    to the number of pixels.

    Args:
        pixels: (height, width, channels), uint8 or uint16.
        alpha: (height, width), of the same type.

    Returns:
        (height, width, channels): `pixels` itself if there is nothing to fill.

    Source:
        Push-pull: Gortler et al., The Lumigraph, 1996, section 3.4. Averages over visible pixels at halved and again
        halved sizes, then each gap filled from the next coarser size.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    color, weight = _push_pixels(pixels, alpha)
    levels: list[tuple[Floats, Floats]] = [(color, weight)]
    while max(weight.shape) > 1:
        color, weight = _halve(color, weight)
        levels.append((color, weight))
    filled: Floats = _normalize(*levels.pop())
    while levels:
        color, weight = levels.pop()
        rows = slice(0, weight.shape[0])
        filled = _double(filled, rows, weight.shape[1])
        np.copyto(filled, _normalize(color, weight), where=weight[..., None] > 0)
    result: Pixels = pixels.copy()
    for rows in row_bands(len(pixels)):
        gaps = hidden[rows]
        if gaps.any():
            result[rows][gaps] = np.rint(_double(filled, rows, pixels.shape[1])[gaps])
    return result


def clean_alpha(large: Pixels, source: Pixels, reach: int) -> Pixels:
    """Make the alpha of a network exact where its source is fully opaque, or fully empty, as far as the network sees.

    Networks return 254 for plain white, and small numbers for plain black.

    Args:
        large: (height, width), uint8 or uint16: what the network made of `source`.
        source: (height, width) of the same type.
        reach: How far the network sees, in pixels of the source.

    Returns:
        (height, width) of `large`'s size.
    """
    columns = np.arange(large.shape[1]) * source.shape[1] // large.shape[1]
    result: Pixels = large.copy()
    for level in (0, np.iinfo(source.dtype).max):
        plain = _all_around(source == level, reach)
        for rows in row_bands(len(large)):
            near = np.arange(rows.start, rows.stop) * len(source) // len(large)
            result[rows][plain[near][:, columns]] = level
    return result


def _all_around(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Where all is set that lies at most `reach` rows and columns away; what is outside counts as set."""
    for axis in (0, 1):
        length = mask.shape[axis]
        misses = np.concatenate([np.zeros_like(mask.take([0], axis), np.int32), np.cumsum(~mask, axis, np.int32)], axis)
        at = np.arange(length)
        high, low = np.minimum(at + reach + 1, length), np.maximum(at - reach, 0)
        mask = misses.take(high, axis) == misses.take(low, axis)
    return mask


def _push_pixels(pixels: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """The first halving, by bands: the full size is never held as floats."""
    height, width, channels = pixels.shape
    color = np.empty((ceil_div(height, 2), ceil_div(width, 2), channels), np.float32)
    weight = np.empty(color.shape[:2], np.float32)
    for rows in row_bands(height):
        opacity = alpha[rows].astype(np.float32)
        half = slice(rows.start // 2, ceil_div(rows.stop, 2))
        color[half], weight[half] = _halve(pixels[rows] * opacity[..., None], opacity)
    # Only ratios matter; near 1 they stay exact however often they are halved.
    top = weight.max()
    color /= top
    weight /= top
    return color, weight


def _halve(color: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Means of 2x2 pixels; a last odd row or column is averaged with zeros."""
    odd = ((0, weight.shape[0] % 2), (0, weight.shape[1] % 2))
    return _mean_of_four(np.pad(color, (*odd, (0, 0)))), _mean_of_four(np.pad(weight, odd))


def _mean_of_four(values: Floats) -> Floats:
    total: Floats = values[0::2, 0::2] + values[1::2, 0::2]
    total += values[0::2, 1::2]
    total += values[1::2, 1::2]
    total *= 0.25
    return total


def _normalize(color: Floats, weight: Floats) -> Floats:
    safe: Floats = np.where(weight > 0, weight, np.float32(1))
    result: Floats = color / safe[..., None]
    return result


def _double(coarse: Floats, rows: slice, width: int) -> Floats:
    """Rows of the next finer size, `width` wide, interpolated between the centers of the coarse pixels."""
    tall = _interpolate(coarse, np.arange(rows.start, rows.stop))
    wide: Floats = _interpolate(tall.swapaxes(0, 1), np.arange(width)).swapaxes(0, 1)
    return wide


def _interpolate(coarse: Floats, fine: NDArray[np.int64]) -> Floats:
    near = fine // 2
    far = np.clip(near + np.where(fine % 2, 1, -1), 0, len(coarse) - 1)
    result: Floats = coarse[near] * np.float32(0.75) + coarse[far] * np.float32(0.25)
    return result
