"""Live previews that cost little however large the image is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles import LATENT, Pixels
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.sampling import samplers_module

__all__ = ["PreviewThumbnail", "small_previews"]

_THUMBNAIL = 768
"""Pixels of a preview's longer side."""


class PreviewThumbnail:
    """The canvas so far, small, as the live preview.

    It is shown when the next tile begins: what is done last is never shown, as a preview may reach the page after the
    bar has gone, and would lie over the result and those of the next jobs.
    """

    def __init__(self) -> None:
        self._image: Image.Image | None = None
        self._size = Size(1, 1)

    def begin(self, upscaled: Pixels) -> None:
        """Take the image before any tile is redrawn.

        Args:
            upscaled: (height, width, 3), 0 to 1.
        """
        height, width = upscaled.shape[:2]
        self._size = Size(width, height)
        share = min(1.0, _THUMBNAIL / max(width, height))
        small = (max(1, round(width * share)), max(1, round(height * share)))
        step = max(1, int(1 / share))
        self._image = to_pil(upscaled[::step, ::step]).resize(small, Image.Resampling.BILINEAR)

    def paste(self, region: Region, pixels: Pixels) -> None:
        """Put a finished tile at its place on the canvas."""
        if self._image is None:
            return
        width, height = self._image.size
        left, top = region.x * width // self._size.width, region.y * height // self._size.height
        right, bottom = region.right * width // self._size.width, region.bottom * height // self._size.height
        if right > left and bottom > top:
            tile = to_pil(pixels).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
            self._image = self._image.copy()  # the old one may just be on its way to a page
            self._image.paste(tile, (left, top))

    def show(self) -> None:
        """Show what is there."""
        if self._image is not None and environment.option("live_previews_enable", True):
            state = environment.state()
            type(state).assign_current_image(state, self._image)  # the instance's own is switched off: see quiet_host


@contextmanager
def small_previews() -> Iterator[None]:
    """Live previews are made of a small copy of the latent while this lasts: never a full decode of a large image."""
    samplers = samplers_module()
    store = samplers.store_latent

    def store_small(latent: Tensor) -> None:
        share = _THUMBNAIL / LATENT / max(latent.shape[2:])
        store(latent if share >= 1 else interpolate(latent, scale_factor=share, mode="area"))

    with replaced(samplers, "store_latent", store_small):
        yield
