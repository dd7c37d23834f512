"""The host's images: made of arrays, read, enlarged and saved as the host does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from PIL import Image

from lib_upscale.image.levels import to_levels
from lib_upscale.redrawing.tiles import Pixels, Plane
from lib_upscale.spread import ceil_div
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import option_set

__all__ = [
    "flatten",
    "read_infotext",
    "replacing_as_asked",
    "resize_image",
    "save_image",
    "to_pil",
    "without_hidden_text",
]

_REPLACE = "save_images_replace_action"
"""The host's setting of what becomes of a file that has the name of a new one."""

_HIDDEN = (b"stealth_rgbinfo", b"stealth_rgbcomp")
"""What the lowest bits begin with where the Forge family has hidden an infotext in an image without transparency."""


def to_pil(pixels: Pixels | Plane) -> Image.Image:
    """Make an image of 8 bits, rounded, as the host takes images.

    Args:
        pixels: (height, width, 3) or, for a gray image, (height, width); 0 to 1.
    """
    return Image.fromarray(to_levels(pixels))


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Put an image with transparency on a background color."""
    from modules import images

    flat: Image.Image = images.flatten(image, background)
    return flat


def resize_image(image: Image.Image, width: int, height: int, upscaler: str | None) -> Image.Image:
    """Enlarge an image to a size without keeping its proportions, by the upscaler of that name."""
    from modules import images

    resized: Image.Image = images.resize_image(0, image, width, height, upscaler_name=upscaler)
    return resized


def save_image(image: Image.Image, *arguments: object, **named: object) -> object:
    """Save an image as the host names and saves its own; arguments and answer are those of the host's function."""
    from modules import images

    with replacing_as_asked():
        place: object = images.save_image(image, *arguments, **named)
    return place


@contextmanager
def replacing_as_asked() -> Iterator[None]:
    """The host replaces files while this lasts, where the person has set it so.

    Forge Neo calls it "Override", and what saves its images asks for "Replace", as all others call it.
    """
    with ExitStack() as stack:
        if environment.option(_REPLACE, "") == "Override":
            stack.enter_context(option_set(_REPLACE, "Replace"))
        yield


def read_infotext(image: Image.Image) -> tuple[str | None, dict[str, object]]:
    """The parameters in an image's text, and all its texts by name."""
    from modules import images

    parameters, items = images.read_info_from_image(without_hidden_text(image))
    return parameters, items


def without_hidden_text(image: Image.Image) -> Image.Image:
    """What to ask for an infotext: the image, or a pixel of it with all its metadata where its pixels hide none.

    The Forge family goes through all pixels of an image without transparency one by one, which takes minutes for a
    photo, and fails at gray ones, although the first forty, from the top of the left column on, say whether it is so.
    """
    if image.mode == "RGBA" or image.info.get("Software") == "NovelAI":  # of these it takes the size
        return image
    if image.mode == "RGB":
        bits = len(_HIDDEN[0]) * 8
        width = ceil_div(bits, 3 * image.height)
        columns = np.asarray(image.crop((0, 0, width, image.height))).swapaxes(0, 1)
        if np.packbits(columns.reshape(-1)[:bits] & 1).tobytes() in _HIDDEN:
            return image
    return image.crop((0, 0, 1, 1)).convert("RGB")
