"""What the host does for every generation and must not do for every tile: previews, params.txt, copies of inputs.

While `quiet()` lasts, generations are tiles of one picture; afterwards the host is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from PIL import Image
from torch.nn.functional import interpolate

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.sampling import samplers_module

__all__ = ["PreviewThumbnail", "Stops", "first_checkpoint_is", "quiet", "small_previews"]

_THUMBNAIL = 768


class Stops:
    """Whether the person asked to stop: the host forgets a Skip when a generation begins, and so at every tile.

    "Stop after this picture" (`stopping_generation`) would make the host return nothing for a tile: it is taken off
    while the picture lasts and put back after it.
    """

    def __init__(self) -> None:
        self.begin_picture()

    def begin_picture(self) -> None:
        """What was asked of the picture before does not hold for the next one of a batch count."""
        self._skipped = False
        self._stopping = False

    def look(self) -> bool:
        """Note what was asked; whether to stop now."""
        state = environment.state()
        self._skipped |= bool(state.skipped)
        if getattr(state, "stopping_generation", False):
            self._stopping = True
            state.stopping_generation = False
        return self._skipped or bool(state.interrupted)

    def insist(self) -> None:
        """Put a Skip back that the host has taken off, so that its sampler ends at the next step."""
        if self.look():
            environment.state().skipped = self._skipped

    def put_back(self) -> None:
        """The picture is over."""
        self.look()
        state = environment.state()
        state.skipped = self._skipped
        if self._stopping:
            state.stopping_generation = True


class PreviewThumbnail:
    """The canvas so far, small, as the live preview."""

    def __init__(self) -> None:
        self._image: Image.Image | None = None
        self._size = Size(1, 1)

    def begin(self, upscaled: Pixels) -> None:
        """The picture before any tile is redrawn."""
        height, width = upscaled.shape[:2]
        self._size = Size(width, height)
        share = min(1.0, _THUMBNAIL / max(width, height))
        small = (max(1, round(width * share)), max(1, round(height * share)))
        step = max(1, int(1 / share))
        self._image = _image(upscaled[::step, ::step]).resize(small, Image.Resampling.BILINEAR)
        self._show()

    def lay(self, region: Region, pixels: Pixels) -> None:
        """A tile is done."""
        if self._image is None:
            return
        width, height = self._image.size
        left, top = region.x * width // self._size.width, region.y * height // self._size.height
        right, bottom = region.right * width // self._size.width, region.bottom * height // self._size.height
        if right > left and bottom > top:
            tile = _image(pixels).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
            self._image = self._image.copy()  # the old one may just be on its way to a page
            self._image.paste(tile, (left, top))
            self._show()

    def _show(self) -> None:
        if getattr(environment.opts(), "live_previews_enable", True):
            type(environment.state()).assign_current_image(environment.state(), self._image)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


@contextmanager
def quiet() -> Iterator[None]:
    """See the module's text."""
    sd_samplers_common = samplers_module()
    state = environment.state()
    with ExitStack() as stack:
        # The preview is the canvas: the host would decode the latent of a tile and show that.
        for name in ("set_current_image", "do_set_current_image", "assign_current_image"):
            stack.enter_context(replaced(state, name, lambda *_: None))
        stack.enter_context(replaced(sd_samplers_common, "store_latent", lambda *_: None))
        stack.enter_context(replaced(environment.cmd_opts(), "no_prompt_history", True))
        if getattr(environment.opts(), "save_init_img", False):
            stack.enter_context(option_set("save_init_img", False))
        yield


@contextmanager
def small_previews() -> Iterator[None]:
    """While it lasts, live previews are made of a small copy of the latent: never a full decode of a large picture."""
    sd_samplers_common = samplers_module()
    store = sd_samplers_common.store_latent

    def small(latent: Any) -> None:
        share = _THUMBNAIL / 8 / max(latent.shape[2:])
        store(latent if share >= 1 else interpolate(latent, scale_factor=share, mode="area"))

    with replaced(sd_samplers_common, "store_latent", small):
        yield


@contextmanager
def first_checkpoint_is(title: str) -> Iterator[None]:
    """While it lasts, generations find that checkpoint chosen, and so don't load the one of the settings again."""
    with option_set("sd_model_checkpoint", title):
        yield
