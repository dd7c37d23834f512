"""Which image the script's line describes: that of the open img2img tab, found without sending it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.environment import HostKind
from lib_upscale.webui.ui.open_tab import MaskBits, OpenTab

__all__ = ["IMAGE_IDS", "MOST_KEPT", "TABS", "Source", "describe_image", "source_in"]

IMAGE_IDS = (
    "img2img_sketch",
    "img2maskimg",
    "inpaint_sketch",
    "img_inpaint_base",
    "img_inpaint_mask",
    "img2img_batch_input_dir",
)
"""Ids of the host's components that hold an image or a mask, or the folder of many, in the tabs after the first."""
TABS = "mode_img2img"
"""Id of the tabs of img2img."""


MOST_KEPT = 16_000_000
"""Pixels that are looked at while the person waits for the line: of a result for flat tiles, of a source for a mask."""


@dataclass(frozen=True, eq=False)
class Source:
    """The image that is going to be enlarged."""

    size: tuple[int, int] | None = None
    gray: NDArray[np.uint8] | None = None
    """(height, width), where its pixels are known and few enough: each session of a page keeps them, 8 bits of each."""
    masked: bool = False
    """Whether only a part of it is going to be redrawn."""
    mask: MaskBits | None = None
    """Which part. The page can't always tell it of the tab for inpainting a sketch, where it is what differs from the
    image before, which gradio 3 may have forgotten: then it is known when the run begins."""
    batch: bool = False
    """Whether there are many, none of which is known."""


def describe_image(image: object) -> Source:
    """Describe the image in the first tab, as gradio gives it."""
    if not isinstance(image, Image.Image):
        return Source()
    return Source(image.size, np.asarray(image.convert("L")) if image.width * image.height <= MOST_KEPT else None)


def source_in(open_tab: OpenTab | None, first: Source) -> Source:
    """Return the image of the tab that is open.

    Args:
        open_tab: None where nothing is known of it.
        first: The image in the first tab: the result where that is open or nothing is known.
    """
    if open_tab is None or open_tab.elem_id == "img2img_img2img_tab":
        return first
    name, mask = open_tab.elem_id, open_tab.mask
    if mask is not None and open_tab.size is not None and "sketch" in name:
        mask = _widened_by_host(mask, *open_tab.size)
    return Source(open_tab.size, masked="inpaint" in name, mask=mask, batch="batch" in name)


def _widened_by_host(mask: MaskBits, width: int, height: int) -> MaskBits:
    """The mask of a sketch: Forge and Forge Neo also redraw what lies around the strokes."""
    if environment.host_kind() is not HostKind.FORGE:
        return mask
    pixels = int(0.015 * min(width, height))
    return mask.widened(pixels / width, pixels / height)
