"""The host as a painter: a batch of tiles goes through its own img2img, 1:1, with windows of one canvas's noise."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

from typing_extensions import override

from lib_upscale.device import is_out_of_memory
from lib_upscale.errors import CancelledError, OutOfMemoryError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import Painter, PassPlan, TileJob
from lib_upscale.redrawing.latent import JointSettings
from lib_upscale.redrawing.tiles import LATENT, Pixels
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.host import jobs
from lib_upscale.webui.host.extra_networks import image_prompt
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.model import (
    give_memory_back,
    interrogate,
    is_xl,
    latent_shape,
    loaded_model,
    prompt_length,
    vae_network,
)
from lib_upscale.webui.host.processing import process_images
from lib_upscale.webui.tiled_sampling import controlnet_units
from lib_upscale.webui.tiled_sampling.canvas_rng import CanvasRandom
from lib_upscale.webui.tiled_sampling.controlnet_hints import WholeHints
from lib_upscale.webui.tiled_sampling.joint.run import JointRun
from lib_upscale.webui.tiled_sampling.stopwatch import Call
from lib_upscale.webui.tiled_sampling.tile_processing import tile_parameters
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.tiled_sampling.tile_scripts import TileScripts
from lib_upscale.webui.tiled_sampling.tiled_vae import vae_by_tiles

__all__ = ["HostPainter"]

_NETWORK = re.compile(r"<\w+:[^>]*>")
_VAE_TILE = 256
"""Side of the VAE's tiles, in pixels, where a whole tile of the redraw does not fit."""


class HostPainter(Painter):
    """Paints the tiles of one image.

    Args:
        run: The image.
        settings: Asked for where the plan is one of the joint method.
    """

    def __init__(self, run: TileRun, settings: RedrawSettings | None = None) -> None:
        self._run, self._settings = run, settings
        self._joint: JointSettings | None = None
        self._unet_pixels = 0
        self._scripts = TileScripts(run.runner)
        self._canvas = Size(LATENT, LATENT)
        self._hints = WholeHints(self._canvas, self._canvas)
        self._random: CanvasRandom | None = None
        self._tiled_vae = False
        self.infotext: dict[str, object] = {}
        """What the host and its scripts note of tiles, for the image's infotext."""
        self.comments: dict[str, object] = {}
        """What they say of tiles below the images."""

    @property
    def prompt(self) -> str:
        """The image's, as the host has set it up."""
        return image_prompt(self._run.p)

    @property
    @override
    def native(self) -> int:
        return self._run.sides.native

    @property
    @override
    def multiple(self) -> int:
        return self._run.sides.multiple

    @override
    def begin(self, step: PassPlan) -> None:
        # With the joint method every tile is a whole canvas, denoised by latent tiles.
        canvas, self._joint = step.grid.canvas, step.joint
        self._hints = WholeHints(step.size, canvas)
        self._unet_pixels = step.unet_pixels
        self._canvas, self._random = canvas, CanvasRandom(self._run.seeds, latent_shape(canvas))

    @override
    def batch_key(self, job: TileJob) -> Hashable:
        # The host can give one text length, one strength and one set of networks to all tiles of a batch.
        alone = job.name if self._needs_tiles_alone() or job.mask is not None else ""
        networks = tuple(_NETWORK.findall(job.prompt))
        return round(job.strength, 6), networks, _text_length(job.prompt), alone

    @override
    def caption(self, pixels: Pixels, *, tags: bool = False) -> str:
        with jobs.kept_state():
            try:
                text = interrogate(to_pil(pixels), tags=tags)
            except Exception as error:
                raise UpscalePlusError(f"The interrogator failed ({error})", "choose another prompt source") from error
        if not text.strip() or "<error>" in text:
            raise UpscalePlusError(
                "The interrogator failed, see the console", "choose another prompt source, or let it load its model"
            )
        return text.strip()

    @override
    def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
        assert self._random is not None, "begin comes first"
        if self._run.stops.requested():
            raise CancelledError()
        self._run.on_begin()
        random = self._random.for_batch([job.noise for job in batch])
        batch = [dataclasses.replace(job, prompt=self._with_networks(job.prompt)) for job in batch]
        joint = self._joint_run(batch[0].region.size)
        prepare = None if joint is None else joint.bind
        tile = tile_parameters(self._run, self._scripts.runner, batch, self._canvas, random, prepare)
        self._scripts.take_pixels()
        self._run.stopwatch.start()
        try:
            scripts = self._scripts.runner.alwayson_scripts
            with self._vae() if joint is None else joint.vae(), self._hints.cut(scripts, batch[0].region):
                process_images(tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            give_memory_back()
            raise OutOfMemoryError(
                f"Not even one tile of {batch[0].region.size} fits into memory ({str(error).splitlines()[0]})",
                "set the tile smaller, or start the WebUI with --medvram",
            ) from error
        finally:
            random.close()
        pixels = self._scripts.take_pixels()
        # What the host gives after an interruption is a tile that was not finished.
        if self._run.stops.requested() or pixels is None:
            raise CancelledError()
        self._run.stopwatch.finish(self._call(batch))
        self.infotext.update(tile.extra_generation_params)
        self.comments.update(tile.comments)
        return pixels

    @override
    def reduce_memory(self) -> bool:
        before, self._tiled_vae = self._tiled_vae, True  # that is all that can be done
        return not before

    def _call(self, batch: Sequence[TileJob]) -> Call:
        """What is computed for a batch."""
        pixels = len(batch) * batch[0].region.size.pixels
        steps = self._run.evaluations(batch[0].strength)
        units = controlnet_units.count_enabled(self._run.arguments or ())
        if self._joint is None:
            return Call(RedrawMethod.TILES.value, pixels, pixels, steps, units)
        return Call(RedrawMethod.JOINT.value, self._unet_pixels, pixels, steps, units)

    def _joint_run(self, canvas: Size) -> JointRun | None:
        if self._joint is None:
            return None
        assert self._settings is not None
        joint = dataclasses.replace(self._joint, seed=self._run.seeds.seed)
        return JointRun.of(canvas, self._settings, joint, self._run.stops.requested, self._run.on_step)

    def _with_networks(self, prompt: str) -> str:
        """The image's networks hold for its tiles, too, unless a tile's prompt names its own."""
        if _NETWORK.search(prompt):
            return prompt
        return "".join([prompt, *_NETWORK.findall(self.prompt)])

    def _needs_tiles_alone(self) -> bool:
        """SDXL is conditioned on a tile's place, and ControlNet takes one image: neither can differ within a batch."""
        if is_xl(loaded_model()):
            return True
        arguments = self._run.arguments or []
        return any(
            controlnet_units.has_enabled(arguments[script.args_from : script.args_to])
            for script in self._scripts.runner.alwayson_scripts
            if script.args_from is not None
        )

    @contextmanager
    def _vae(self) -> Iterator[None]:
        if not self._tiled_vae:
            yield
            return
        with vae_by_tiles(vae_network(), _VAE_TILE):
            yield


def _text_length(prompt: str) -> Hashable:
    """How long the encoded prompt is, or the prompt itself where the host does not say."""
    try:
        return prompt_length(_NETWORK.sub("", prompt))
    except Exception:
        return prompt
