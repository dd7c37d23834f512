"""Redraws an image within the host's own generation, in which encoding and sampling are replaced.

So whatever the host does once for an image (prompts, scripts, colors, faces, saving, infotext, grids, batch count) is
done here, too, and once; only what lies between is a redraw of many tiles.
"""

from __future__ import annotations

import copy
import hashlib
import time

from PIL import Image
from torch import Tensor

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing import JobKey, Journal, RedrawPicture, RedrawResult, job_key, plan_redraw, redraw
from lib_upscale.redrawing.tiles import Pixels, composite, resize
from lib_upscale.settings.redraw import RedrawMethod
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.images import save_image, to_pil
from lib_upscale.webui.host.jobs import HostBar
from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.processing import process_images
from lib_upscale.webui.host.protocols import HostImg2Img, HostProcessed
from lib_upscale.webui.sd_upscale import finishing, resuming
from lib_upscale.webui.sd_upscale.identity import host_identity
from lib_upscale.webui.sd_upscale.ignored import ignored_of
from lib_upscale.webui.sd_upscale.img2img_input import read_image, read_mask
from lib_upscale.webui.sd_upscale.request import PREFIX, TITLE, RedrawRequest, check_format
from lib_upscale.webui.tiled_sampling import controlnet_units, tile_scripts
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.host_patches import quiet_host
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.preview import PreviewThumbnail
from lib_upscale.webui.tiled_sampling.prompt_checks import check_prompts
from lib_upscale.webui.tiled_sampling.samplers import check_sampler, img2img_evaluations
from lib_upscale.webui.tiled_sampling.stops import Stops
from lib_upscale.webui.tiled_sampling.stopwatch import Stopwatch
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.upscalers import timings
from lib_upscale.webui.upscalers.enlarger import Enlarger, estimate_enlarging, resolve_name

__all__ = ["RedrawJob", "install", "run"]


def run(p: HostImg2Img, request: RedrawRequest) -> HostProcessed:
    """Redraw the image of img2img, as often as its batch count says.

    Args:
        p: The host's parameters; they stay as they are.
        request: What to do.

    Raises:
        UpscalePlusError: What can't be done, before anything is computed wherever that is known before.
    """
    own, began = copy.copy(p), time.perf_counter()
    environment.state().textinfo = "preparing the model and the prompts"
    job = install(own, request, random_seed=resuming.wants_random_seed(p))
    try:
        processed = process_images(own)
    finally:
        own.close()
    job.record_rest(time.perf_counter() - began)
    processed.images.extend(job.extra_images)
    processed.infotexts.extend(processed.infotexts[-1:] * len(job.extra_images))
    return processed


def install(p: HostImg2Img, request: RedrawRequest, *, random_seed: bool = False) -> RedrawJob:
    """Have the host's `process_images(p)` redraw by tiles.

    Args:
        p: The host's parameters, a copy that nobody else uses.
        request: What to do.
        random_seed: The host draws the seed.

    Raises:
        UpscalePlusError: What can't be done.
    """
    p.extra_generation_params = dict(p.extra_generation_params)
    p.override_settings, p.comments = dict(p.override_settings), dict(p.comments)
    job = RedrawJob(p, request, random_seed)
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

    def __init__(self, p: HostImg2Img, request: RedrawRequest, random_seed: bool) -> None:
        self._p, self._request, self._random_seed = p, request, random_seed
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
        self._stops, self._painting = Stops(), 0.0
        self._enlarger = Enlarger(self._settings.upscaler, keeps=p.n_iter > 1)
        self._images = 0
        """Images that came to their end; `_painting` is what the host's calls for them took, in seconds."""
        self._tested: Pixels | None = None
        """The tile that was tested."""
        self.extra_images: list[Image.Image] = []
        """What is shown after the results."""

    def infotext(self) -> dict[str, str]:
        """Return what goes into the image's text, so that the controls can be restored."""
        settings = self._settings.changed(upscaler=resolve_name(self._settings.upscaler), batch_size=1)
        return {"Script": TITLE, **settings.to_infotext(PREFIX)}

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Replace the host's, which would resize and encode the whole image."""
        p = self._p
        p.width, p.height = self.plan.output  # the host has cut them to what Stable Diffusion 3 takes
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
        p, state = self._p, environment.state()
        count = max(1, state.job_count)
        image = f"image {state.job_no + 1} of {count}" if count > 1 else ""
        state.textinfo = None
        key = self._key()
        journal = None if self._request.test else self._open_journal(key)
        stopwatch, thumbnail = Stopwatch(), PreviewThumbnail()
        try:
            with self._stops.image(is_single=count == 1), HostBar(self._stops.requested, image) as bar:
                run = self._tile_run(key.seed, bar, stopwatch, thumbnail)
                painter = HostPainter(run, self._settings)
                result = self._redraw(painter, journal, bar, thumbnail)
        except CancelledError:
            return finishing.stop_before_tiles(p, self._pixels)
        if journal is not None and journal.problem:
            p.comment(f"{journal.problem}; an interrupted redraw can't be resumed.")
        for name, value in painter.infotext.items():
            p.extra_generation_params.setdefault(name, value)
        p.comments.update(painter.comments)
        for note in self._ignored:
            p.comment(f"{note}.")
        timings.record_calls(self._checkpoint(), stopwatch.calls)
        self._painting += stopwatch.seconds
        self._images += not result.partial
        if self._request.test:
            return self._tested_tile(result, key.seed)
        is_kept = journal is not None and not journal.problem
        how = resuming.how_to_continue(key.seed, random_seed=self._random_seed) if is_kept else ""
        finishing.add_notes(p, result, how)
        self._finish(result)
        return finishing.as_samples(result.pixels)

    def _tested_tile(self, result: RedrawResult, seed: int) -> list[Tensor]:
        """The tile as it was redrawn, with its own borders: the full run blends them into those of its neighbors."""
        p, last = self._p, result.plan.passes[-1]
        tile = self._request.tiles_to_test(last.grid)[0]
        name = f"tile {tile.index + 1} of {len(last.grid.tiles)}"
        p.extra_generation_params[f"{PREFIX} test"] = name
        if self._tested is None:
            p.comment(f"The {name} is not redrawn: it is flat, outside the mask, or the run was stopped.")
            pixels = result.pixels[tile.region.rows, tile.region.columns]
        else:
            pixels = self._composed(self._tested, tile.region, result)
        p.height, p.width = pixels.shape[:2]
        if self._random_seed:
            p.comment(f"Tested with the seed {seed}: set it to get this tile in the full run.")
        return finishing.as_samples(pixels)

    def _composed(self, pixels: Pixels, region: Region, result: RedrawResult) -> Pixels:
        """A tile of the canvas, cut to the image, and redrawn only where there is a mask."""
        last = result.plan.passes[-1]
        pixels = pixels[: last.size.height - region.y, : last.size.width - region.x]
        if self._mask is None or result.plan.layout.offset is not None:
            return pixels
        part = Region(region.x, region.y, pixels.shape[1], pixels.shape[0])
        mask = last.cut(resize(self._mask, last.enlarged))[part.rows, part.columns]
        return composite(result.upscaled[part.rows, part.columns], pixels, mask)

    def record_rest(self, seconds: float) -> None:
        """Remember what the run took besides enlarging and the host's calls, if all of it was done."""
        others = self._painting + self._enlarger.seconds
        if self._images == self._p.n_iter and not self._request.test:
            timings.record_image(self.plan.output.pixels, max(0.0, seconds - others) / self._images)

    def _checkpoint(self) -> str:
        return base_model.selected_name(self._p.override_settings.get("sd_model_checkpoint"))

    def _enlarging_in_tiles(self) -> int:
        """What enlarging costs, as a whole number of tiles: the host's console counts tiles as jobs."""
        p, last = self._p, self.plan.passes[-1]
        seconds = estimate_enlarging(self._enlarger.name, self.plan.source, last.enlarged)
        units = controlnet_units.count_enabled(self._arguments or ())
        steps = img2img_evaluations(p.sampler_name, p.steps, last.strength)
        tile, _ = timings.calls_of_pass(last, steps, 1, units=units)
        seconds_of_tile = timings.estimate_calls(self._checkpoint(), [(tile, 1.0)])
        return 1 if seconds is None or seconds_of_tile is None else round(seconds.middle / seconds_of_tile.middle)

    def _tile_run(self, seed: int, bar: HostBar, stopwatch: Stopwatch, thumbnail: PreviewThumbnail) -> TileRun:
        p = self._p
        return TileRun(
            p,
            self._runner,
            self._arguments,
            p.negative_prompts[0],
            Seeds(seed, int(p.subseeds[0]), p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w),
            self._sides,
            self._stops,
            stopwatch=stopwatch,
            on_begin=thumbnail.show,
            on_step=bar.show_step,
        )

    def _redraw(
        self, painter: HostPainter, journal: Journal | None, bar: HostBar, thumbnail: PreviewThumbnail
    ) -> RedrawResult:
        is_test = self._request.test

        def enlarge(pixels: Pixels, size: Size) -> Pixels:
            with bar.within_part() as progress:
                enlarged = self._enlarger(pixels, size, progress)
            thumbnail.begin(enlarged)
            return enlarged

        def finish_tile(region: Region, pixels: Pixels, _: Size) -> None:
            thumbnail.paste(region, pixels)
            self._tested = pixels if is_test else None

        with quiet_host(), bar.uncounted():
            return redraw(
                RedrawPicture(self._pixels, painter.prompt, self._mask),
                self.plan,
                painter,
                enlarge,
                bar,
                journal,
                only=self._request.tiles_to_test if is_test else None,
                on_tile_done=finish_tile,
                enlarging=self._enlarging_in_tiles(),
            )

    def _key(self) -> JobKey:
        identity = host_identity(self._p, self._runner, self._arguments, self._enlarger.name)
        return job_key(self._pixels, self._mask, self._settings, int(self._p.seeds[0]), identity)

    def _open_journal(self, key: JobKey) -> Journal:
        return resuming.open_journal(self._p, key, resume=self._settings.resume, random_seed=self._random_seed)

    def _finish(self, result: RedrawResult) -> None:
        """Prepare the host's own work on the finished image."""
        upscaled = to_pil(result.upscaled)
        if not self._has_own_colors:
            finishing.prepare_colors(self._p, upscaled)
        if self._mask is not None and result.plan.layout.offset is None:
            finishing.prepare_overlay(self._p, upscaled, result, self._mask)
        if self._settings.save_upscaled and not result.resampled:
            self.extra_images.append(upscaled)
            finishing.save_upscaled(self._p, upscaled)
