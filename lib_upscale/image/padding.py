"""The last step to an exact size: cropping, or laying the picture on a larger canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.picture import Picture
from lib_upscale.image.resample import resample
from lib_upscale.image.target import Layout

__all__ = ["pad_or_crop"]

_BLURRED_SIDE = 24
"""Longer side, in pixels, of what the blurred surroundings are enlarged from: no shape survives that."""


def pad_or_crop(picture: Picture, layout: Layout, padding: str) -> Picture:
    """A picture of the size `layout.scaled` made exactly `layout.final`.

    `padding` is "blur", the picture itself enlarged and blurred, or a color such as "#202020". The added
    part is opaque.
    """
    if layout.crop is not None:
        return picture.cropped(layout.crop)
    if layout.offset is None:
        return picture
    place = Region(*layout.offset, picture.size.width, picture.size.height)
    pixels = _surroundings(picture, layout.final, padding)
    if pixels.shape[2] > picture.channels:  # a gray picture on a color
        pixels[place.rows, place.columns] = picture.pixels.repeat(3, axis=2)
    else:
        pixels[place.rows, place.columns] = picture.pixels
    alpha = None
    if picture.alpha is not None:
        alpha = np.full(pixels.shape[:2], picture.levels, picture.pixels.dtype)
        alpha[place.rows, place.columns] = picture.alpha
    return Picture(pixels, alpha, picture.metadata)


def _surroundings(picture: Picture, size: Size, padding: str) -> NDArray[Any]:
    if padding == "blur":
        return _blurred(picture, size)
    red, green, blue = ImageColor.getrgb(padding)[:3]
    color = (red,) if picture.channels == 1 and red == green == blue else (red, green, blue)
    levels = np.array(color, np.uint32) * (picture.levels // 255)
    shape = (size.height, size.width, len(color))
    surroundings: NDArray[Any] = np.broadcast_to(levels.astype(picture.pixels.dtype), shape).copy()
    return surroundings


def _blurred(picture: Picture, size: Size) -> NDArray[Any]:
    """The middle of the picture in the shape of `size`, through so few pixels that only its colors are left."""
    ratio = size.width / size.height
    width = min(picture.size.width, max(1, round(picture.size.height * ratio)))
    height = min(picture.size.height, max(1, round(picture.size.width / ratio)))
    left, top = (picture.size.width - width) // 2, (picture.size.height - height) // 2
    middle = picture.pixels[top : top + height, left : left + width]
    factor = _BLURRED_SIDE / max(size)
    small = Size(max(1, round(size.width * factor)), max(1, round(size.height * factor)))
    blurred: NDArray[Any] = resample(resample(middle, small, "box"), size, "bicubic").copy()
    return blurred
