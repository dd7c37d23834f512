"""What of img2img means something else in the script, or nothing: in sentences, without their full stops."""

from __future__ import annotations

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.protocols import HostImg2Img
from lib_upscale.webui.tiled_sampling.tile_scripts import uses_soft_inpainting

__all__ = ["ORIGINAL", "ignored", "ignored_of"]

ORIGINAL = 1
"""What the host calls "Masked content: original"."""


def ignored(
    *, batch_size: int = 1, images: int = 1, masked_content: int = ORIGINAL, soft: bool = False, tiling: bool = False
) -> list[str]:
    """Say what differs.

    Args:
        batch_size: img2img's.
        images: How many it was given.
        masked_content: The host's number of it; `ORIGINAL` without a mask.
        soft: Whether soft inpainting is on.
        tiling: Whether seamless textures are asked for.
    """
    notes = []
    if batch_size > 1:
        notes.append(f"Batch size {batch_size} is the number of tiles at a time here: one image is made")
    if images > 1:
        notes.append(f"Only the first of {images} images is redrawn")
    if masked_content != ORIGINAL:
        notes.append("Masked content is always original here")
    if soft:
        notes.append("Soft inpainting has no effect here, as the mask's soft edge is used as it is")
    if tiling:
        notes.append("Tiling has no effect here")
    return notes


def ignored_of(p: HostImg2Img) -> list[str]:
    """The same for a generation's parameters, before the job changes them."""
    has_mask = p.image_mask is not None
    return ignored(
        batch_size=int(p.batch_size or 1),
        images=len(p.init_images),
        masked_content=int(p.inpainting_fill) if has_mask else ORIGINAL,
        soft=has_mask and uses_soft_inpainting(p.scripts_value, p.script_args_value),
        tiling=environment.option("tiling", False) if p.tiling is None else bool(p.tiling),
    )
