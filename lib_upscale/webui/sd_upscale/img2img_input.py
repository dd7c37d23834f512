"""The image and the mask of img2img, as arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.redrawing.tiles import Pixels, Plane, gaussian
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.images import flatten
from lib_upscale.webui.host.processing import binary_mask
from lib_upscale.webui.host.protocols import HostImg2Img

__all__ = ["prepare_mask", "read_image", "read_mask"]


def read_image(p: HostImg2Img) -> Pixels:
    """Read the first image of a generation; transparency lies on the host's background color.

    Args:
        p: The host's parameters of an img2img.

    Returns:
        (height, width, 3), 0 to 1.

    Raises:
        SettingsError: There is none.
    """
    images = list(getattr(p, "init_images", None) or [])
    if not images or images[0] is None:
        raise SettingsError("There is no image to upscale", "put one into img2img")
    image = flatten(images[0], environment.option("img2img_background_color", "#ffffff")).convert("RGB")
    return np.asarray(np.asarray(image, dtype=np.float32) / np.float32(255), dtype=np.float32)


def read_mask(p: HostImg2Img, width: int, height: int) -> Plane | None:
    """Read the mask as the host would use it: rounded, inverted if asked, blurred; notes both in the infotext.

    Args:
        p: The host's parameters of an img2img.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        (height, width), 1 where to redraw; None without a mask.
    """
    if p.image_mask is None:
        return None
    image = binary_mask(p.image_mask, round_values=getattr(p, "mask_round", True))
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    mask: Plane = np.asarray(np.asarray(image, dtype=np.float32) / np.float32(255), dtype=np.float32)
    if p.inpainting_mask_invert:
        p.extra_generation_params["Mask mode"] = "Inpaint not masked"
    blur = max(p.mask_blur_x, p.mask_blur_y)
    mask = prepare_mask(mask, blur, inverted=bool(p.inpainting_mask_invert))
    if blur > 0 and mask.any():
        p.extra_generation_params["Mask blur"] = blur
    return mask


def prepare_mask(mask: Plane, blur: float, *, inverted: bool) -> Plane:
    """Invert a mask, if asked, and blur it by so many pixels."""
    if inverted:
        mask = 1 - mask
    if blur > 0 and mask.any():
        mask = gaussian(mask, float(blur))
        mask[mask < 0.5 / 255] = 0
    return mask
