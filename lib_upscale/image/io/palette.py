"""Reduces images to 256 colors for GIF."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lib_upscale.image.picture import Picture

__all__ = ["palette_image"]

_TRANSPARENT = 255


def palette_image(picture: Picture) -> Image.Image:
    """Make a Pillow "P" image. Up to 255 colors stay exact, more are reduced by median cut.

    Alpha below one half becomes fully transparent, all else opaque, as GIF knows nothing between; `info` then holds
    "transparency".
    """
    eight = picture.with_bits(8)
    rgb = Image.fromarray(np.ascontiguousarray(np.broadcast_to(eight.pixels, (*eight.pixels.shape[:2], 3))))
    hidden = None if eight.alpha is None or eight.opaque else eight.alpha < 128
    if hidden is not None and hidden.any():
        rgb.paste(_some_visible_color(eight, hidden), mask=Image.fromarray(hidden))
    reduced = _exact(rgb) or rgb.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if hidden is None or not hidden.any():
        return reduced
    indices = np.array(reduced)
    indices[hidden] = _TRANSPARENT
    palette = (reduced.getpalette() or [])[: 3 * _TRANSPARENT]
    result = Image.fromarray(indices)
    result.putpalette(palette + [0] * (768 - len(palette)))
    result.info["transparency"] = _TRANSPARENT
    return result


def _some_visible_color(picture: Picture, hidden: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[int, ...]:
    """So that hidden colors take no place in the palette."""
    visible = np.flatnonzero(~hidden.ravel())
    at = int(visible[0]) if len(visible) else 0
    color = picture.pixels.reshape(-1, picture.channels)[at]
    return tuple(int(value) for value in np.broadcast_to(color, 3))


def _exact(rgb: Image.Image) -> Image.Image | None:
    counts = rgb.getcolors(_TRANSPARENT)
    if counts is None:
        return None
    values = np.asarray(rgb).astype(np.uint32)
    packed = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    colors = np.array(sorted(r << 16 | g << 8 | b for _, (r, g, b) in counts), np.uint32)  # type: ignore[misc]
    result = Image.fromarray(np.searchsorted(colors, packed).astype(np.uint8))
    table = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1)
    result.putpalette([int(value) for value in table.ravel()])
    return result
