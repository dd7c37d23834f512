"""Hires fix's second pass by the method tiles: the image is enlarged, then redrawn tile by tile by the host's img2img.

The steps, sampler, prompts and networks are those that hires fix was given; what differs is said before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import Progress, Span
from lib_upscale.redrawing import RedrawPicture, RedrawPlan, plan_redraw, redraw
from lib_upscale.redrawing.tiles import LATENT, Pixels
from lib_upscale.settings.redraw import RedrawSettings, VaeMode
from lib_upscale.webui.hires_fix.costs import tiles_settings
from lib_upscale.webui.hires_fix.first_pass import FirstPass
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.extra_networks import second_prompt
from lib_upscale.webui.host.images import resize_image, save_image, to_pil
from lib_upscale.webui.host.jobs import TwoPasses
from lib_upscale.webui.host.model import (
    latent_shape,
    loaded_model,
    second_model_is_chosen,
    sees_masked_image,
    uncircular,
    vae_network,
)
from lib_upscale.webui.host.processing import create_infotext, decode_first_stage, new_img2img
from lib_upscale.webui.host.protocols import HostImg2Img, HostTxt2Img
from lib_upscale.webui.tiled_sampling import controlnet_units
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.host_patches import quiet_host
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.preview import PreviewThumbnail
from lib_upscale.webui.tiled_sampling.stops import Stops
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.tiled_sampling.tile_scripts import image_resumes
from lib_upscale.webui.tiled_sampling.tiled_vae import vae_by_tiles
from lib_upscale.webui.upscalers import timings

__all__ = ["second_pass_by_tiles"]

_SUFFIX = "-before-highres-fix"
"""What the host puts behind the names of images that it saves before the second pass."""


def second_pass_by_tiles(
    p: HostTxt2Img,
    settings: RedrawSettings,
    size: HiresSize,
    first: FirstPass,
    passes: TwoPasses,
    _: Callable[..., Sequence[Tensor]],
) -> list[Tensor]:
    """The second pass by the method tiles.

    Args:
        p: The host's parameters, whose first pass is done.
        settings: Those of the section.
        size: Where hires fix is going.
        first: The first pass.
        passes: The bar.

    Returns:
        Images (3, height, width), -1 to 1, of `size.final`.

    Raises:
        CancelledError: If the person stopped it.
    """
    p.is_hr_pass = True
    environment.state().textinfo = "upscaling"
    images = _enlarge_all(p, size, first, settings)
    noises = _encoder_noises(size, len(images))
    settings = tiles_settings(settings)
    sides = base_model.sides_of(getattr(p.hr_checkpoint_info, "name", None))
    plan = plan_redraw(size.final, settings, **sides._asdict(), strength=p.denoising_strength)
    stops = Stops()
    before, count = passes.number * len(images), passes.count * len(images)
    results = []
    with ExitStack() as stack:
        stack.enter_context(stops.image(is_single=passes.count <= 1))
        stack.enter_context(image_resumes(p))
        stack.enter_context(uncircular(p))
        stack.enter_context(second_model_is_chosen(p))
        if getattr(p, "refiner_checkpoint_info", None) is not None:
            p.comment("The refiner is off in the second pass: tiles are redrawn with one model.")
        bar = stack.enter_context(passes.second(stops.requested))
        stack.enter_context(bar.uncounted())
        for number, (pixels, noise) in enumerate(zip(images, noises, strict=True)):
            image = f"image {before + number + 1} of {count}" if count > 1 else ""
            part, thumbnail = Span(bar, number / len(images), (number + 1) / len(images), image), PreviewThumbnail()
            run = _tile_run(p, number, sides, stops, noise, thumbnail)
            results.append(_redraw(p, plan, pixels, HostPainter(run), part, thumbnail))
            timings.record_calls(_checkpoint(p), run.stopwatch.calls)
    return results


def _checkpoint(p: HostTxt2Img) -> str:
    return base_model.selected_name(getattr(p.hr_checkpoint_info, "name", None))


def _encoder_noises(size: HiresSize, images: int) -> list[tuple[Tensor, ...]]:
    """What the VAE's encoder draws for each image: as the host has it, the next of torch's own random numbers."""
    shape = latent_shape(size.final.rounded_up(LATENT))
    draws = [[torch.randn(shape) for _ in range(images)]]
    if sees_masked_image(loaded_model()):
        draws.append(list(torch.randn((images, *shape))))  # the host encodes these together
    return list(zip(*draws, strict=True))


def _tile_run(
    p: HostTxt2Img,
    number: int,
    sides: base_model.Sides,
    stops: Stops,
    encoder: Sequence[Tensor],
    thumbnail: PreviewThumbnail,
) -> TileRun:
    """What the tiles of image `number` of the batch have in common."""
    seeds = Seeds(
        seed=int(p.seeds[number]),
        subseed=int(p.subseeds[number]),
        subseed_strength=p.subseed_strength,
        resize_from_height=p.seed_resize_from_h,
        resize_from_width=p.seed_resize_from_w,
        encoder=encoder,
    )
    img2img = _img2img(p, second_prompt(p, number))
    return TileRun(
        img2img,
        p.scripts_value,
        controlnet_units.of_second_pass(p.script_args_value or ()),
        p.hr_negative_prompts[number],
        seeds,
        sides,
        stops,
        sampler_steps=img2img.steps,
        on_begin=thumbnail.show,
    )


def _redraw(
    p: HostTxt2Img,
    plan: RedrawPlan,
    pixels: Pixels,
    painter: HostPainter,
    progress: Progress,
    thumbnail: PreviewThumbnail,
) -> Tensor:
    """(3, height, width), -1 to 1. Raises `CancelledError` if the person stopped it: a part is not what they get."""

    def enlarge(pixels: Pixels, _: Size) -> Pixels:
        thumbnail.begin(pixels)
        return pixels

    with quiet_host():
        result = redraw(
            RedrawPicture(pixels, painter.prompt),
            plan,
            painter,
            enlarge,
            progress,
            on_tile_done=lambda region, pixels, _: thumbnail.paste(region, pixels),
            enlarging=0.0,
        )
    if result.partial:
        raise CancelledError()
    p.comments.update(painter.comments)
    for name, value in painter.infotext.items():
        p.extra_generation_params.setdefault(name, value)
    if saved := result.saved():
        p.comment(saved)
    return torch.from_numpy(result.pixels).permute(2, 0, 1) * 2 - 1


def _img2img(p: HostTxt2Img, prompt: str) -> HostImg2Img:
    """The host's parameters of an img2img with what hires fix was given."""
    img2img = new_img2img(p)
    img2img.scripts_value = p.scripts_value
    img2img.steps = p.hr_second_pass_steps or p.steps
    img2img.sampler_name = p.hr_sampler_name or p.sampler_name
    optional = {"scheduler": getattr(p, "hr_scheduler", None) or getattr(p, "scheduler", None)}
    for name, hires_name in (("cfg_scale", "hr_cfg"), ("distilled_cfg_scale", "hr_distilled_cfg")):  # Forge's
        if hasattr(p, hires_name):
            # reForge's default is 0, which means the first pass's.
            optional[name] = getattr(p, hires_name) or getattr(p, name, None)
    for name, value in optional.items():
        setattr(img2img, name, value)
    merging = p.get_token_merging_ratio(for_hr=True)
    # Not by its field alone: where that is 0, an img2img takes its own ratio of the settings.
    vars(img2img)["get_token_merging_ratio"] = lambda for_hr=False: merging
    img2img.all_prompts, img2img.iteration = [prompt], 0
    img2img.cached_c, img2img.cached_uc = [None, None, None], [None, None, None]
    img2img.fill_fields_from_opts()
    return img2img


def _enlarge_all(p: HostTxt2Img, size: HiresSize, first: FirstPass, settings: RedrawSettings) -> list[Pixels]:
    """What is redrawn, of hires fix's size: enlarged by the host, as in its own pass; enlarged latents decoded."""
    if p.latent_scale_mode is None:
        assert first.decoded is not None
        return [_enlarge_image(p, size, image, number) for number, image in enumerate(first.decoded)]
    side = settings.tile or base_model.sides_of().native
    with vae_by_tiles(vae_network(), side, VaeMode(settings.vae)):
        # One after the other, as a batch of decoded images may not fit into memory.
        latents = [first.samples[number : number + 1] for number in range(len(first.samples))]
        return [_enlarge_latent(p, size, latent, number) for number, latent in enumerate(latents)]


def _enlarge_image(p: HostTxt2Img, size: HiresSize, image: Tensor, number: int) -> Pixels:
    # Not rounded: so the host makes images of what its VAE decodes.
    first = Image.fromarray((_pixels(image) * 255).astype(np.uint8))
    _save_first(p, first, number)
    enlarged = resize_image(first, size.enlarged.width, size.enlarged.height, p.hr_upscaler)
    return _crop_middle(np.asarray(enlarged.convert("RGB"), dtype=np.float32) / np.float32(255), size)


def _enlarge_latent(p: HostTxt2Img, size: HiresSize, latent: Tensor, number: int) -> Pixels:
    if _saves_first(p):
        _save_first(p, to_pil(_pixels(decode_first_stage(p.sd_model, latent)[0])), number)
    whole = size.enlarged.rounded_up(LATENT)
    scale_mode = p.latent_scale_mode
    assert scale_mode is not None
    sides = (whole.height // LATENT, whole.width // LATENT)
    enlarged = interpolate(latent, size=sides, mode=scale_mode["mode"], antialias=scale_mode["antialias"])
    return _crop_middle(_pixels(decode_first_stage(p.sd_model, enlarged)[0]), size)


def _crop_middle(pixels: Pixels, size: HiresSize) -> Pixels:
    x, y = ((a - b) // 2 for a, b in zip(size.enlarged, size.final, strict=True))
    region = Region(x, y, *size.final)
    return pixels[region.rows, region.columns]


def _saves_first(p: HostTxt2Img) -> bool:
    return bool(p.save_samples() and environment.option("save_images_before_highres_fix", False))


def _save_first(p: HostTxt2Img, image: Image.Image, number: int) -> None:
    """Save the image before the second pass, where the person has asked for that in the settings."""
    if not _saves_first(p):
        return
    text = create_infotext(
        p, p.all_prompts, p.all_seeds, p.all_subseeds, [], iteration=p.iteration, position_in_batch=number
    )
    save_image(
        image,
        p.outpath_samples,
        "",
        p.seeds[number],
        p.prompts[number],
        environment.option("samples_format", "png"),
        info=text,
        p=p,
        suffix=_SUFFIX,
    )


def _pixels(image: Tensor) -> Pixels:
    """(3, height, width), -1 to 1, as (height, width, 3), 0 to 1."""
    values = ((image.detach().float().cpu() + 1) / 2).clamp(0, 1)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())
