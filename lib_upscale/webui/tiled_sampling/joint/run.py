"""One canvas denoised by the joint method in the host: its VAE runs by tiles, and so does its sampler's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import Callback
from lib_upscale.redrawing import tile_prompt
from lib_upscale.redrawing.latent import JointSettings
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.settings.redraw import PromptSource, RedrawSettings
from lib_upscale.webui.host import console
from lib_upscale.webui.host.model import vae_network
from lib_upscale.webui.host.protocols import HostProcessing
from lib_upscale.webui.tiled_sampling.joint.binding import JointWork, bind
from lib_upscale.webui.tiled_sampling.joint.prompts import conditioning_of
from lib_upscale.webui.tiled_sampling.tiled_vae import can_run_by_tiles, vae_by_tiles

__all__ = ["JointRun", "tile_prompts"]

_IMAGE_PROMPT = "\0"
"""Stands for the image's own prompt."""


@dataclass
class JointRun:
    """What is bound to the host for one canvas."""

    canvas: Size
    """In pixels, multiples of 8."""
    settings: RedrawSettings
    work: JointWork

    @classmethod
    def of(
        cls,
        canvas: Size,
        settings: RedrawSettings,
        joint: JointSettings,
        is_stopped: Callable[[], bool],
        on_step: Callable[[int, int], None],
    ) -> JointRun:
        """Make a run.

        Args:
            canvas: In pixels, multiples of 8.
            settings: Those of the redraw, for the VAE and the prompts of tiles.
            joint: What was planned for `canvas`, with the seed for a grid that shifts.
            is_stopped: Whether the person asked to stop.
            on_step: Called with each step, counted from 1, and their number.
        """
        # The bar is the sampler's own: all that is asked is whether to stop.
        progress = Callback(lambda *_: None, is_stopped)
        return cls(canvas, settings, JointWork(joint, progress=progress, on_step=on_step))

    @property
    def is_bound(self) -> bool:
        """Afterwards: whether the sampler asked its model through us."""
        return self.work.is_bound

    def bind(self, p: HostProcessing) -> None:
        """Have the sampler of `p`, which is about to begin, denoise by tiles."""
        assert p.sampler is not None
        prompts = tile_prompts(self.settings, self.canvas, self.work)
        self.work.conditioning = conditioning_of(p, prompts)
        bind(p.sampler, p, self.work)

    @contextmanager
    def vae(self) -> Iterator[None]:
        """The host's VAE runs by tiles while this lasts, unless the canvas is one tile or the VAE of unknown kind."""
        tile = self.work.settings.tile
        network = vae_network()
        is_whole = all(side * LATENT >= whole for side, whole in zip(tile, self.canvas, strict=True))
        if is_whole:
            yield
        elif not can_run_by_tiles(network):
            console.say("this VAE is of a kind that can't run by tiles: it takes the whole image")
            yield
        else:
            with vae_by_tiles(network, max(tile) * LATENT, self.settings.vae, self.work.progress):
                yield


def tile_prompts(settings: RedrawSettings, canvas: Size, work: JointWork) -> Mapping[int, str]:
    """Number of a tile -> its prompt, for tiles that have another than the image's."""
    regions = settings.prompt_regions
    general = settings.tile_prompt if settings.prompt_source is PromptSource.TILE else _IMAGE_PROMPT
    columns, rows = work.settings.origins(Size(canvas.width // LATENT, canvas.height // LATENT))
    prompts = {}
    for index, (y, x) in enumerate((y, x) for y in rows for x in columns):
        place = Region(x, y, *work.settings.tile).scaled(LATENT)
        prompt = tile_prompt(general, regions, place, canvas)
        if prompt != _IMAGE_PROMPT:
            prompts[index] = prompt
    return prompts
