"""Redraws an image within the host's own generation, in which encoding and sampling are replaced.

So whatever the host does once for an image (prompts, scripts, colors, faces, saving, infotext, grids, batch count) is
done here, too, and once; only what lies between is a redraw of many tiles.
"""

from __future__ import annotations

import copy
import hashlib

from PIL import Image
from torch import Tensor

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import JobKey, Journal, RedrawPicture, RedrawResult, job_key, plan_redraw, redraw
from lib_upscale.redrawing.tiles import Pixels
from lib_upscale.settings.redraw import RedrawMethod
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.images import save_image, to_pil
from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.processing import process_images
from lib_upscale.webui.host.protocols import HostImg2Img, HostProcessed
from lib_upscale.webui.sd_upscale import finishing, resuming, timings
from lib_upscale.webui.sd_upscale.identity import host_identity
from lib_upscale.webui.sd_upscale.ignored import ignored_of
from lib_upscale.webui.sd_upscale.img2img_input import read_image, read_mask
from lib_upscale.webui.sd_upscale.progress_bar import ProgressBar, TileCounter
from lib_upscale.webui.sd_upscale.request import PREFIX, TITLE, RedrawRequest, check_format
from lib_upscale.webui.tiled_sampling import controlnet_units, tile_scripts
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.host_patches import quiet_host
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.preview import PreviewThumbnail
from lib_upscale.webui.tiled_sampling.prompt_checks import check_prompts
from lib_upscale.webui.tiled_sampling.samplers import check_sampler
from lib_upscale.webui.tiled_sampling.stops import Stops
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.upscalers.enlarger import Enlarger, resolve_name

__all__ = ["RedrawJob", "install", "run"]


def run(p: HostImg2Img, request: RedrawRequest, counter: TileCounter) -> HostProcessed:
    """Redraw the image of img2img, as often as its batch count says.

    Args:
        p: The host's parameters; they stay as they are.
        request: What to do.
        counter: That of the host's progress bar.
    Raises:
        UpscalePlusError: What can't be done, before anything is computed wherever that is known before.
    """
    own = copy.copy(p)
    job = install(own, request, counter, any_seed=resuming.wants_random_seed(p))
    try:
        processed = process_images(own)
    finally:
        own.close()
    processed.images.extend(job.extra_images)
    processed.infotexts.extend(processed.infotexts[-1:] * len(job.extra_images))
    return processed


def install(p: HostImg2Img, request: RedrawRequest, counter: TileCounter, *, any_seed: bool = False) -> RedrawJob:
    """Have the host's `process_images(p)` redraw by tiles.

    Args:
        p: The host's parameters, a copy that nobody else uses.
        request: What to do.
        counter: That of the host's progress bar.
        any_seed: The seed may be replaced by that of an unfinished job like this one.

    Raises:
        UpscalePlusError: What can't be done.
    """
    p.extra_generation_params = dict(p.extra_generation_params)
    p.override_settings, p.comments = dict(p.override_settings), dict(p.comments)
    job = RedrawJob(p, request, counter, any_seed)
    p.extra_generation_params.update(job.infotext())
    p.script_args_value = tile_scripts.arguments_of_image(p.scripts_value, p.script_args_value)
    p.scripts_value = tile_scripts.scripts_of_image(p.scripts_value)
    p.batch_size = 1
    p.init_images = p.init_images[:1]
    p.width, p.height = job.plan.output
    if getattr(p, "refiner_checkpoint", None) not in (None, "", "None", "none"):
        p.refiner_checkpoint = None
        p.comment("The refiner is off: SD upscale plus redraws with one model.")
    if request.test:
        p.do_not_save_samples = p.do_not_save_grid = True
        p.n_iter = 1
    p.init, p.sample = job.init, job.sample
    return job


class RedrawJob:
    """One run: what replaces the host's encoding and sampling. The arguments are those of `install`."""

    def __init__(self, p: HostImg2Img, request: RedrawRequest, counter: TileCounter, any_seed: bool) -> None:
        self._p, self._request, self._any_seed = p, request, any_seed
        self._runner, self._arguments = p.scripts_value, p.script_args_value
        self._settings = request.effective_settings().changed(batch_size=max(1, int(p.batch_size or 1)))
        if self._settings.method is RedrawMethod.TILES:
            check_sampler(p.sampler_name)
        check_prompts(self._settings)
        self._pixels = read_image(p)
        height, width = self._pixels.shape[:2]
        self._mask = read_mask(p, width, height)
        self._sides = base_model.sides_of(p.override_settings.get("sd_model_checkpoint"))
        self.plan = plan_redraw(
            Size(width, height),
            self._settings,
            **self._sides._asdict(),
            strength=p.denoising_strength,
            mask=self._mask,
            is_aligned=controlnet_units.has_enabled(self._arguments or ()),
        )
        is_joint = self._settings.method is RedrawMethod.JOINT
        tile_scripts.check_scripts(self._runner, self._arguments, is_joint=is_joint)
        request.check_test_tile(self.plan.passes[-1].grid)
        if environment.option("samples_save", True) and not p.do_not_save_samples and not request.test:
            check_format(environment.option("samples_format", "png"), self.plan.output)
        self._has_own_colors = p.color_corrections is not None
        self._ignored = ignored_of(p)
        self._stops = Stops()
        self._bar = ProgressBar(self.plan.tiles, self._stops)
        self._is_single = counter.count_tiles(self._bar.jobs, 1 if request.test else p.n_iter) == 1
        self._enlarger = Enlarger(self._settings.upscaler, self._bar.enlarging, keeps=p.n_iter > 1)
        self.extra_images: list[Image.Image] = []
        """What is shown after the results."""

    def infotext(self) -> dict[str, str]:
        """Return what goes into the image's text, so that the controls can be restored."""
        settings = self._settings.changed(upscaler=resolve_name(self._settings.upscaler), batch_size=1)
        return {"Script": TITLE, **settings.to_infotext(PREFIX)}

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Replace the host's, which would resize and encode the whole image."""
        p = self._p
        p.extra_generation_params["Denoising strength"] = p.denoising_strength
        if getattr(loaded_model(), "cond_stage_key", "edit") != "edit":
            # The host drops it for all models but instruct-pix2pix, and its infotext does not mention it then.
            p.image_cfg_scale = None
        if environment.option("save_init_img", False):
            image = p.init_images[0]
            p.init_img_hash = hashlib.md5(image.tobytes()).hexdigest()  # the name that the host gives it
            save_image(
                image,
                path=environment.option("outdir_init_images", "outputs/init-images"),
                basename=None,
                forced_filename=p.init_img_hash,
                save_to_dirs=False,
                existing_info=image.info,
            )

    def sample(self, *_: object, **__: object) -> list[Tensor]:
        """Replace the host's: return the finished image as its samples."""
        p = self._p
        self._bar.begin_image()
        key, journal = self._open_journal()
        seeds = Seeds(key.seed, int(p.subseeds[0]), p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w)
        negative = p.negative_prompts[0]
        run = TileRun(p, self._runner, self._arguments, negative, seeds, self._sides, self._stops)
        painter = HostPainter(run, self._settings)
        try:
            with self._stops.image(is_single=self._is_single):
                result = self._redraw(painter, journal)
        except CancelledError:
            return finishing.stop_before_tiles(p, self._pixels)
        finally:
            self._bar.end_image()
        if journal is not None and journal.problem:
            p.comment(f"{journal.problem}; an interrupted redraw can't be resumed.")
        for name, value in painter.infotext.items():
            p.extra_generation_params.setdefault(name, value)
        p.comments.update(painter.comments)
        for note in self._ignored:
            p.comment(f"{note}.")
        finishing.add_notes(p, result)
        timings.record(p, result)
        if self._request.test:
            region = self._request.tiles_to_test(result.plan.passes[-1].grid)[0].region
            return finishing.as_samples(result.pixels[region.rows, region.columns])
        self._finish(result)
        return finishing.as_samples(result.pixels)

    def _redraw(self, painter: HostPainter, journal: Journal | None) -> RedrawResult:
        thumbnail = PreviewThumbnail()

        def enlarge(pixels: Pixels, size: Size) -> Pixels:
            enlarged = self._enlarger(pixels, size)
            thumbnail.begin(enlarged)
            self._bar.report(0.0)
            return enlarged

        with quiet_host():
            return redraw(
                RedrawPicture(self._pixels, painter.prompt, self._mask),
                self.plan,
                painter,
                enlarge,
                self._bar,
                journal,
                only=self._request.tiles_to_test if self._request.test else None,
                on_tile_done=lambda region, pixels, _: thumbnail.paste(region, pixels),
            )

    def _open_journal(self) -> tuple[JobKey, Journal | None]:
        identity = host_identity(self._p, self._runner, self._arguments, self._enlarger.name)
        key = job_key(self._pixels, self._mask, self._settings, int(self._p.seeds[0]), identity)
        if self._request.test:
            return key, None
        return resuming.open_journal(self._p, key, resume=self._settings.resume, any_seed=self._any_seed)

    def _finish(self, result: RedrawResult) -> None:
        """Prepare the host's own work on the finished image."""
        upscaled = to_pil(result.upscaled)
        if not self._has_own_colors:
            finishing.prepare_colors(self._p, upscaled)
        if self._mask is not None and result.plan.layout.offset is None:
            finishing.prepare_overlay(self._p, upscaled, result, self._mask)
        if self._settings.save_upscaled:
            self.extra_images.append(upscaled)
            finishing.save_upscaled(self._p, upscaled)
