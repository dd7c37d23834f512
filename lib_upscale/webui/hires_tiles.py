"""Hires fix's second pass as a redraw: the picture enlarged, then one tile after the other through the host's img2img.

The steps, sampler, prompts and networks are those that hires fix was given; what differs is said before the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.target import Fit
from lib_upscale.redraw.filters import Pixels
from lib_upscale.redraw.plan import plan_redraw
from lib_upscale.redraw.redraw import redraw
from lib_upscale.redraw.result import RedrawPicture
from lib_upscale.redraw_settings import RedrawSettings, VaeMode
from lib_upscale.webui import base_model, host
from lib_upscale.webui.canvas_rng import Seeds
from lib_upscale.webui.enlarge import Enlarger
from lib_upscale.webui.hires_size import HiresSize
from lib_upscale.webui.painter import HostPainter
from lib_upscale.webui.quiet import Stops, Thumbnail, first_checkpoint_is, quiet
from lib_upscale.webui.tile_params import image_of
from lib_upscale.webui.tiled_vae import tiled_vae

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
    settings = tiles_settings(settings, size, is_enlarged=p.latent_scale_mode is not None)
    stops = Stops()
    made = []
    with ExitStack() as stack:
        stack.callback(stops.put_back)
        stack.callback(_circular_again, p)
        if p.hr_checkpoint_info is not None:
            stack.enter_context(first_checkpoint_is(p.hr_checkpoint_info.title))
        if getattr(p, "refiner_checkpoint_info", None) is not None:
            p.comment("The refiner is off in the second pass: tiles are redrawn with one model.")
        bar = None
        for number, pixels in enumerate(pictures):
            job = _Picture(p, settings, stops, number)
            bar = bar or _Bar(job.tiles, len(pictures), p, stops)
            bar.begin(number)
            made.append(job.redrawn(pixels, bar))
    return made


def tiles_settings(settings: RedrawSettings, size: HiresSize, *, is_enlarged: bool) -> RedrawSettings:
    """The same settings with hires fix's size; `is_enlarged` where the picture has it already."""
    if is_enlarged:
        return settings.changed(scale=1.0)
    return settings.changed(width=size.final.width, height=size.final.height, fit=Fit.COVER)


class _Picture:
    """One picture of the batch."""

    def __init__(self, p: Any, settings: RedrawSettings, stops: Stops, number: int) -> None:
        self._p, self._settings, self._stops = p, settings, stops
        index = p.iteration * p.batch_size + number
        self._prompt = p.all_hr_prompts[index]
        self._negative = p.all_hr_negative_prompts[index]
        self._seeds = Seeds(
            int(p.seeds[number]), int(p.subseeds[number]), p.subseed_strength, p.seed_resize_from_h,
            p.seed_resize_from_w,
        )  # fmt: skip
        self._native = base_model.native_side(getattr(p.hr_checkpoint_info, "name", None))
        source = Size(p.width, p.height) if settings.scale is None else Size(*HiresSize.of(p).final)
        self.tiles = plan_redraw(
            source, settings, native=self._native, multiple=8, strength=p.denoising_strength
        ).tiles  # fmt: skip

    def redrawn(self, pixels: Pixels, bar: _Bar) -> Tensor:
        p = self._p
        painter = HostPainter(_img2img(p, self._prompt), self._negative, self._seeds, self._native, self._stops)
        thumbnail = Thumbnail()
        enlarger = None if self._settings.scale else Enlarger(p.hr_upscaler or "None", bar, keeps=False)

        def enlarge(pixels: Pixels, size: Size) -> Pixels:
            made = pixels if enlarger is None else enlarger(pixels, size)
            thumbnail.begin(made)
            return made

        with quiet():
            result = redraw(
                RedrawPicture(pixels, p.denoising_strength, self._prompt), self._settings, painter, enlarge, bar,
                shown=lambda region, pixels, _: thumbnail.lay(region, pixels),
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

    def __init__(self, tiles: int, pictures: int, p: Any, stops: Stops) -> None:
        self._tiles, self._stops = tiles, stops
        self._start = host.shared.state.job_no
        more = max(0, tiles * pictures - 1)
        # Every batch of the run has such a pass, and each adds its own.
        host.shared.state.job_count += more
        self._first = self._start

    def begin(self, number: int) -> None:
        """The next picture of the batch."""
        self._first = self._start + number * self._tiles
        self.report(0.0)

    def report(self, fraction: float, text: str = "") -> None:
        """So much of the tiles is done."""
        done = round(fraction * self._tiles)
        state = host.shared.state
        state.job_no, state.sampling_step = self._first + done, 0
        state.textinfo = text if text.startswith("border") else f"tile {min(done + 1, self._tiles)} of {self._tiles}"

    def cancelled(self) -> bool:
        """Whether the person asked to stop."""
        return self._stops.look()


def _img2img(p: Any, prompt: str) -> Any:
    """The host's parameters of an img2img with what hires fix was given."""
    from modules.processing import StableDiffusionProcessingImg2Img

    fields = [f.name for f in dataclasses.fields(StableDiffusionProcessingImg2Img) if f.init]
    made = StableDiffusionProcessingImg2Img(
        **{name: getattr(p, name) for name in fields if hasattr(p, name) and name not in ("sd_model", "sampler_index")}
    )
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
    """What is redrawn: the first pass as pictures; a latent upscaler's latents enlarged and decoded."""
    from modules.processing import decode_first_stage

    if p.latent_scale_mode is None:
        pictures = [_pixels(picture) for picture in decoded]
        for number, pixels in enumerate(pictures):
            _save_first(p, pixels, number)
        return pictures
    made = []
    side = settings.tile or base_model.native_side(None)
    canvas = Size(*(-(-each // 8) * 8 for each in size.enlarged))
    with tiled_vae(host.vae_network(), side, VaeMode(settings.vae)):
        for number in range(len(samples)):
            _save_first(p, lambda n=number: _pixels(decode_first_stage(p.sd_model, samples[n : n + 1])[0]), number)
            latent = interpolate(
                samples[number : number + 1], size=(canvas.height // 8, canvas.width // 8),
                mode=p.latent_scale_mode["mode"], antialias=p.latent_scale_mode["antialias"],
            )  # fmt: skip
            made.append(_middle(_pixels(decode_first_stage(p.sd_model, latent)[0]), size))
    return made


def _middle(pixels: Pixels, size: HiresSize) -> Pixels:
    x, y = ((a - b) // 2 for a, b in zip(size.enlarged, size.final, strict=True))
    region = Region(x, y, *size.final)
    return pixels[region.rows, region.columns]


def _save_first(p: Any, pixels: Any, number: int) -> None:
    """The picture before the second pass, where the person has asked for that in the settings."""
    from modules import images
    from modules.processing import create_infotext

    if not p.save_samples() or not host.option("save_images_before_highres_fix", False):
        return
    text = create_infotext(
        p, p.all_prompts, p.all_seeds, p.all_subseeds, [], iteration=p.iteration, position_in_batch=number
    )
    images.save_image(
        image_of(pixels() if callable(pixels) else pixels), p.outpath_samples, "", p.seeds[number], p.prompts[number],
        host.shared.opts.samples_format, info=text, p=p, suffix=_SUFFIX,
    )  # fmt: skip


def _pixels(picture: Tensor) -> Pixels:
    """(3, height, width), -1 to 1, as (height, width, 3), 0 to 1."""
    values = ((picture.detach().float().cpu() + 1) / 2).clamp(0, 1)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())


def _circular_again(p: Any) -> None:
    """Tiles are never circular; the next first pass is, where the person wants seamless textures."""
    from modules import sd_hijack

    apply = getattr(getattr(sd_hijack, "model_hijack", None), "apply_circular", None)
    if apply is not None:
        apply(p.tiling)
