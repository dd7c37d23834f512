"""The last step to an exact size: cropping, or laying the image on a larger canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.levels import to_floats, to_levels
from lib_upscale.image.picture import Picture
from lib_upscale.image.resampling import resample
from lib_upscale.image.target import Layout

__all__ = ["pad_floats", "pad_or_crop"]

_BLURRED_SIDE = 24
"""Longer side, in pixels, of what the blurred border is enlarged from: no shape survives that."""


def pad_or_crop(picture: Picture, layout: Layout, padding: str) -> Picture:
    """Bring a picture of the size `layout.scaled` to exactly `layout.final`.

    Args:
        picture: What is cropped or padded.
        layout: Where it is cut or where it lies.
        padding: "blur" for a border made of the picture itself, enlarged and blurred; or a color such as "#202020".

    Returns:
        The result; a border is opaque. The picture itself where `layout` neither crops nor pads.
    """
    if layout.crop is not None:
        return picture.cropped(layout.crop)
    if layout.offset is None:
        return picture
    place = _place(layout)
    pixels = _border(picture, layout.final, padding)
    pixels[place.rows, place.columns] = picture.pixels  # one channel spreads over three: a gray picture on a color
    alpha = None
    if picture.alpha is not None:
        alpha = np.full(pixels.shape[:2], picture.levels, picture.pixels.dtype)
        alpha[place.rows, place.columns] = picture.alpha
    return Picture(pixels, alpha, picture.metadata)


def pad_floats(pixels: NDArray[np.float32], layout: Layout, padding: str = "blur") -> NDArray[np.float32]:
    """Lay float pixels on a larger canvas with the border of `pad_or_crop`.

    Args:
        pixels: (height, width, 3), 0 to 1, of the size `layout.scaled`, or already cropped to `layout.final`.
        layout: Where they lie.
        padding: As for `pad_or_crop`.

    Returns:
        (height, width, 3) of the size `layout.final`. The pixels themselves where `layout` does not pad.
    """
    if layout.offset is None:
        return pixels
    place = _place(layout)
    result = to_floats(_border(Picture(to_levels(pixels, np.uint16)), layout.final, padding))
    result[place.rows, place.columns] = pixels
    return result


def _place(layout: Layout) -> Region:
    assert layout.offset is not None
    return Region.whole(layout.scaled).moved(*layout.offset)


def _border(picture: Picture, size: Size, padding: str) -> NDArray[Any]:
    """All of the canvas, before the picture is laid on it."""
    if padding == "blur":
        return _blur(picture, size)
    red, green, blue = ImageColor.getrgb(padding)[:3]
    color = (red,) if picture.channels == 1 and red == green == blue else (red, green, blue)
    levels = np.array(color, np.uint32) * (picture.levels // 255)
    return np.full((size.height, size.width, len(color)), levels, picture.pixels.dtype)


def _blur(picture: Picture, size: Size) -> NDArray[Any]:
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
