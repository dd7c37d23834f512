"""The end of a redraw: what it leaves for the host's own work on the finished image, and in the infotext."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lib_upscale.redrawing import RedrawResult
from lib_upscale.redrawing.tiles import Pixels, Plane, resize
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.images import save_image, to_pil
from lib_upscale.webui.host.processing import as_decoded_samples, color_correction, create_infotext
from lib_upscale.webui.host.protocols import HostImg2Img
from lib_upscale.webui.sd_upscale.request import PREFIX

__all__ = ["add_notes", "as_samples", "prepare_colors", "prepare_overlay", "save_upscaled", "stop_before_tiles"]


def add_notes(p: HostImg2Img, result: RedrawResult, how_to_continue: str) -> None:
    """Say in the infotext and under the image what was done.

    Args:
        p: The host's parameters.
        result: What was done.
        how_to_continue: A sentence for where it was stopped; "" where it can't be continued.
    """
    count, partial = result.count, f"{PREFIX} partial"
    p.extra_generation_params.pop(partial, None)
    if result.partial:
        p.extra_generation_params[partial] = f"{count.done} of {count.total} tiles"
        stopped = f"Stopped after {count.done} of {count.total} tiles."
        resized = "The upscaler was stopped, too: the tiles so far are only resized." if result.resampled else ""
        unsaved = "" if p.save_samples() else "The image so far is not saved to disk."
        p.comment(" ".join(filter(None, (stopped, resized, how_to_continue if count.done else "", unsaved))))
    if count.resumed:
        p.comment(f"Resumed: {count.resumed} of {count.total} tiles were finished already.")
    if saved := result.saved():
        p.comment(f"{saved}.")


def prepare_colors(p: HostImg2Img, upscaled: Image.Image) -> None:
    """Have the host give the result the colors of the upscaled image, where its settings ask for color correction."""
    if environment.option("img2img_color_correction", False):
        p.color_corrections = [color_correction(upscaled)]


def prepare_overlay(p: HostImg2Img, upscaled: Image.Image, result: RedrawResult, mask: Plane) -> None:
    """Keep what is not masked as it is, whatever is done to the image's colors or faces later.

    Args:
        p: The host's parameters.
        upscaled: The upscaled image, of the result's size.
        result: What was done, without a border.
        mask: (height, width) of the source, 1 where to redraw.
    """
    last = result.plan.passes[-1]
    large = last.cut(resize(mask, last.enlarged))
    p.mask_for_overlay = to_pil(large)
    overlay = upscaled.convert("RGBA")
    # Soft edges are blended already: only what is untouched is laid over.
    overlay.putalpha(Image.fromarray(np.where(large > 0, 0, 255).astype(np.uint8), "L"))
    p.overlay_images = [overlay]


def save_upscaled(p: HostImg2Img, upscaled: Image.Image) -> None:
    """Save the upscaled image beside the result, if the host saves images."""
    if not p.save_samples():
        return
    text = create_infotext(p, p.prompts, p.seeds, p.subseeds, index=0, all_negative_prompts=p.negative_prompts)
    image_format = environment.option("samples_format", "png")
    save_image(
        upscaled, p.outpath_samples, "", p.seeds[0], p.prompts[0], image_format, info=text, p=p, suffix="-upscaled"
    )


def stop_before_tiles(p: HostImg2Img, pixels: Pixels) -> list[Tensor]:
    """Return the source as the host's samples: the run was stopped while the image was enlarged."""
    p.do_not_save_samples = True
    p.extra_generation_params[f"{PREFIX} partial"] = "not upscaled"
    p.comment("Stopped before the first tile: this is the image that was to be upscaled.")
    return as_samples(pixels)


def as_samples(pixels: Pixels) -> list[Tensor]:
    """Return an image as the host takes finished ones from a sampler.

    Args:
        pixels: (height, width, 3), 0 to 1.
    """
    # The host cuts off what is below a level: a quarter more makes that rounding.
    levels = (np.rint(np.clip(pixels, 0, 1) * 255) + 0.25) / 255 * 2 - 1
    channels_first = np.ascontiguousarray(np.moveaxis(levels, 2, 0), dtype=np.float32)
    return as_decoded_samples([torch.from_numpy(channels_first)])
