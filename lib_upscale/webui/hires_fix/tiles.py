"""Hires fix's second pass as a redraw: the picture enlarged, then one tile after the other through the host's img2img.

The steps, sampler, prompts and networks are those that hires fix was given; what differs is said before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.plan import RedrawPlan, plan_redraw
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.run import redraw
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.redrawing.tiles.grid import LATENT
from lib_upscale.settings.redraw import RedrawSettings, VaeMode
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.images import resize_image, save_image, to_pil
from lib_upscale.webui.host.model import apply_circular, vae_network
from lib_upscale.webui.host.processing import create_infotext, decode_first_stage, new_img2img
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.host_patches import PreviewThumbnail, Stops, first_checkpoint_is, quiet
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.tiled_vae import tiled_vae

__all__ = ["second_pass_by_tiles", "tiles_settings"]

_SUFFIX = "-before-highres-fix"
"""What the host puts behind the names of pictures that it saves before the second pass."""


def second_pass_by_tiles(
    p: Any, settings: RedrawSettings, size: HiresSize, _: Callable[..., Any], given: Sequence[Any]
) -> list[Tensor]:
    """Pictures (3, height, width), -1 to 1, of `size.final`. `given` are the arguments of the host's pass."""
    samples, decoded = given[0], given[1]
    p.is_hr_pass = True
    pictures = _pictures(p, size, samples, decoded, settings)
    noises = [_encoder_noise(size) for _ in pictures]
    settings = tiles_settings(settings)
    native = base_model.native_side(getattr(p.hr_checkpoint_info, "name", None))
    plan = plan_redraw(size.final, settings, native=native, multiple=LATENT, strength=p.denoising_strength)
    stops = Stops()
    bar = _Bar(plan.tiles, len(pictures), stops)
    made = []
    with ExitStack() as stack:
        stack.callback(stops.put_back)
        stack.callback(_circular_again, p)
        if p.hr_checkpoint_info is not None:
            stack.enter_context(first_checkpoint_is(p.hr_checkpoint_info.title))
        if getattr(p, "refiner_checkpoint_info", None) is not None:
            p.comment("The refiner is off in the second pass: tiles are redrawn with one model.")
        for number, (pixels, noise) in enumerate(zip(pictures, noises, strict=True)):
            bar.begin(number)
            made.append(_redrawn(p, plan, pixels, _painter(p, number, native, stops, noise), bar))
    return made


def tiles_settings(settings: RedrawSettings) -> RedrawSettings:
    """The same settings for a picture that has hires fix's size already."""
    return settings.changed(scale=1.0)


def _encoder_noise(size: HiresSize) -> Tensor:
    """What the VAE's encoder draws for a picture: as the host has it, the next of torch's own random numbers."""
    whole = size.final.rounded_up(LATENT)
    return torch.randn(4, whole.height // LATENT, whole.width // LATENT)


def _painter(p: Any, number: int, native: int, stops: Stops, encoder_noise: Tensor) -> HostPainter:
    """What redraws the tiles of picture `number` of the batch."""
    index = p.iteration * p.batch_size + number
    seeds = Seeds(
        int(p.seeds[number]), int(p.subseeds[number]), p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w,
        encoder_noise,
    )  # fmt: skip
    return HostPainter(_img2img(p, p.all_hr_prompts[index]), p.all_hr_negative_prompts[index], seeds, native, stops)


def _redrawn(p: Any, plan: RedrawPlan, pixels: Pixels, painter: HostPainter, bar: _Bar) -> Tensor:
    """(3, height, width), -1 to 1. Raises `CancelledError` if the person stopped it: a part is not what they get."""
    thumbnail = PreviewThumbnail()

    def enlarged(pixels: Pixels, _: Size) -> Pixels:
        thumbnail.begin(pixels)
        return pixels

    with quiet():
        result = redraw(
            RedrawPicture(pixels, painter.prompt), plan, painter, enlarged, bar,
            on_tile_done=lambda region, pixels, _: thumbnail.lay(region, pixels),
        )  # fmt: skip
    if result.partial:
        raise CancelledError()
    p.comments.update(painter.comments)
    for name, value in painter.told.items():
        p.extra_generation_params.setdefault(name, value)
    if saved := result.saved():
        p.comment(saved)
    return torch.from_numpy(result.pixels).permute(2, 0, 1) * 2 - 1


class _Bar:
    """The host's progress bar: its one job of the second pass becomes one for each tile."""

    def __init__(self, tiles: int, pictures: int, stops: Stops) -> None:
        self._tiles, self._stops = tiles, stops
        self._start = environment.state().job_no
        more = max(0, tiles * pictures - 1)
        # Every batch of the run has such a pass, and each adds its own.
        environment.state().job_count += more
        self._first = self._start

    def begin(self, number: int) -> None:
        """The next picture of the batch."""
        self._first = self._start + number * self._tiles
        self.report(0.0)

    def report(self, fraction: float, text: str = "") -> None:
        """So much of the tiles is done."""
        done = round(fraction * self._tiles)
        state = environment.state()
        state.job_no, state.sampling_step = self._first + done, 0
        state.textinfo = text if text.startswith("border") else f"tile {min(done + 1, self._tiles)} of {self._tiles}"

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self._stops.look()


def _img2img(p: Any, prompt: str) -> Any:
    """The host's parameters of an img2img with what hires fix was given."""
    made = new_img2img(p)
    made.upscale_plus_runner = p.scripts_value
    made.scripts_value, made.script_args_value = p.scripts_value, p.script_args_value
    made.upscale_plus_steps = made.steps = p.hr_second_pass_steps or p.steps
    made.sampler_name = p.hr_sampler_name or p.sampler_name
    made.scheduler = getattr(p, "hr_scheduler", None) or getattr(p, "scheduler", None)
    for ours, theirs in (("cfg_scale", "hr_cfg"), ("distilled_cfg_scale", "hr_distilled_cfg")):  # Forge's
        if hasattr(p, theirs):
            setattr(made, ours, getattr(p, theirs))
    made.token_merging_ratio = p.get_token_merging_ratio(for_hr=True)
    made.all_prompts, made.iteration = [prompt], 0
    made.cached_c, made.cached_uc = [None, None, None], [None, None, None]
    made.fill_fields_from_opts()
    return made


def _pictures(p: Any, size: HiresSize, samples: Any, decoded: Any, settings: RedrawSettings) -> list[Pixels]:
    """What is redrawn, of hires fix's size: enlarged by the host, as in its own pass; enlarged latents decoded."""
    if p.latent_scale_mode is None:
        return [_enlarged(p, size, picture, number) for number, picture in enumerate(decoded)]
    made = []
    side = settings.tile or base_model.native_side(None)
    with tiled_vae(vae_network(), side, VaeMode(settings.vae)):
        for number in range(len(samples)):
            made.append(_decoded(p, size, samples[number : number + 1], number))
    return made


def _enlarged(p: Any, size: HiresSize, picture: Tensor, number: int) -> Pixels:
    # Not rounded: so the host makes pictures of what its VAE decodes.
    first = Image.fromarray((_pixels(picture) * 255).astype(np.uint8))
    _save_first(p, first, number)
    enlarged = resize_image(first, size.enlarged.width, size.enlarged.height, p.hr_upscaler)
    return _middle(np.asarray(enlarged.convert("RGB"), dtype=np.float32) / np.float32(255), size)


def _decoded(p: Any, size: HiresSize, sample: Tensor, number: int) -> Pixels:
    if _saves_first(p):
        _save_first(p, to_pil(_pixels(decode_first_stage(p.sd_model, sample)[0])), number)
    whole = size.enlarged.rounded_up(LATENT)
    scale_mode = p.latent_scale_mode
    high_wide = (whole.height // LATENT, whole.width // LATENT)
    latent = interpolate(sample, size=high_wide, mode=scale_mode["mode"], antialias=scale_mode["antialias"])
    return _middle(_pixels(decode_first_stage(p.sd_model, latent)[0]), size)


def _middle(pixels: Pixels, size: HiresSize) -> Pixels:
    x, y = ((a - b) // 2 for a, b in zip(size.enlarged, size.final, strict=True))
    region = Region(x, y, *size.final)
    return pixels[region.rows, region.columns]


def _saves_first(p: Any) -> bool:
    return bool(p.save_samples() and environment.option("save_images_before_highres_fix", False))


def _save_first(p: Any, image: Image.Image, number: int) -> None:
    """The picture before the second pass, where the person has asked for that in the settings."""
    if not _saves_first(p):
        return
    text = create_infotext(
        p, p.all_prompts, p.all_seeds, p.all_subseeds, [], iteration=p.iteration, position_in_batch=number
    )
    save_image(
        image, p.outpath_samples, "", p.seeds[number], p.prompts[number], environment.opts().samples_format, info=text,
        p=p, suffix=_SUFFIX,
    )  # fmt: skip


def _pixels(picture: Tensor) -> Pixels:
    """(3, height, width), -1 to 1, as (height, width, 3), 0 to 1."""
    values = ((picture.detach().float().cpu() + 1) / 2).clamp(0, 1)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())


def _circular_again(p: Any) -> None:
    """Tiles are never circular; the next first pass is, where the person wants seamless textures."""
    apply_circular(p.tiling)
