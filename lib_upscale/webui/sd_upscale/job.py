"""A picture redrawn in the host: its own generation, in which encoding and sampling are replaced by ours.

So whatever the host does once for a picture (prompts, scripts, colors, faces, saving, infotext, grids, batch count)
it does here, too, and once; only what lies between is a redraw of many tiles.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lib_upscale.errors import CancelledError, FormatLimitError, OutputError, SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.formats import check_writable
from lib_upscale.redrawing.journal import JobKey, Journal, job_key, unfinished
from lib_upscale.redrawing.plan import RedrawPlan, plan_redraw
from lib_upscale.redrawing.result import RedrawPicture, RedrawResult
from lib_upscale.redrawing.run import redraw
from lib_upscale.redrawing.tiles.filters import Pixels, Plane, gaussian, resize
from lib_upscale.redrawing.tiles.grid import LATENT, Grid, Tile
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.webui.host import base_model, console, environment, jobs
from lib_upscale.webui.host.images import flatten, save_image, to_pil
from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.processing import (
    as_decoded_samples,
    binary_mask,
    color_correction,
    create_infotext,
    process_images,
)
from lib_upscale.webui.sd_upscale import identity as redraw_identity
from lib_upscale.webui.sd_upscale import timings as redraw_times
from lib_upscale.webui.sd_upscale.progress_bar import Bar
from lib_upscale.webui.tiled_sampling import controlnet_units as control_units
from lib_upscale.webui.tiled_sampling import tile_scripts
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.host_patches import quiet_host
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.preview import PreviewThumbnail
from lib_upscale.webui.tiled_sampling.samplers import check_sampler
from lib_upscale.webui.tiled_sampling.stops import Stops
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.upscalers.enlarger import Enlarger, known_name

__all__ = ["PREFIX", "TITLE", "RedrawRequest", "install", "journal_root", "run"]

TITLE = "SD upscale plus"
"""What the Script dropdown calls it."""
PREFIX = "SD upscale plus"
"""With which its infotext keys begin."""

_RANDOM = (-1, None, "", "-1")
"""What a seed is called that the host is to draw."""


@dataclass(frozen=True)
class RedrawRequest:
    """What is asked of a run."""

    settings: RedrawSettings
    test: bool = False
    """Only one tile, and only that shown."""
    test_tile: int = 0
    """Which, counted by rows from 1; 0 is the middle one."""


def journal_root() -> Path:
    """Where unfinished redraws are kept."""
    return environment.data_path() / "upscale-plus" / "unfinished"


def run(p: Any, request: RedrawRequest) -> Any:
    """Redraw the picture of `p`, as often as its batch count says; the host's `Processed`. `p` stays as it is.

    Raises `UpscalePlusError` for what can't be done, before anything is computed wherever that is known before.
    """
    own = copy.copy(p)
    job = install(own, request, random_seed=_wants_random_seed(p))
    try:
        processed = process_images(own)
    finally:
        own.close()
    processed.images.extend(job.extra_images)
    processed.infotexts.extend(processed.infotexts[-1:] * len(job.extra_images))
    return processed


def install(p: Any, request: RedrawRequest, *, random_seed: bool = False) -> PictureJob:
    """Have the host's `process_images(p)` redraw by tiles. `p` must be a copy of nobody else's concern.

    With `random_seed` its seed may be exchanged for that of an unfinished job like this one.
    """
    p.extra_generation_params = dict(p.extra_generation_params)
    p.override_settings, p.comments = dict(p.override_settings), dict(p.comments)
    job = PictureJob(p, request, random_seed)
    p.extra_generation_params.update(job.infotext())
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


class PictureJob:
    """One run: what is known of it before, and what replaces the host's encoding and sampling."""

    def __init__(self, p: Any, request: RedrawRequest, random_seed: bool) -> None:
        self._p, self._wish = p, request
        self._runner = p.scripts_value
        self._settings = _usable(request).changed(batch_size=max(1, int(p.batch_size or 1)))
        if self._settings.method is RedrawMethod.TILES:
            check_sampler(p.sampler_name)
        self._pixels = _picture(p)
        self._mask = _mask(p, Size(self._pixels.shape[1], self._pixels.shape[0]))
        self._native = base_model.native_side(p.override_settings.get("sd_model_checkpoint"))
        self.plan: RedrawPlan = plan_redraw(
            Size(self._pixels.shape[1], self._pixels.shape[0]),
            self._settings,
            native=self._native,
            multiple=LATENT,
            strength=p.denoising_strength,
            mask=self._mask,
            is_aligned=control_units.has_enabled(p.script_args_value or ()),
        )
        self._check(p)
        self._is_random = random_seed
        self._own_colors = p.color_corrections is None
        self._stops = Stops()
        self._bar = Bar(self.plan.tiles, p.n_iter, self._stops)
        self._enlarge = Enlarger(self._settings.upscaler, self._bar.upscaling, keeps=p.n_iter > 1)
        self.extra_images: list[Image.Image] = []

    def infotext(self) -> dict[str, Any]:
        """What goes into the picture's text, so that the controls can be restored."""
        told = self._settings.changed(upscaler=known_name(self._settings.upscaler), batch_size=1)
        return {"Script": TITLE, **told.to_infotext(PREFIX)}

    def _check(self, p: Any) -> None:
        tile_scripts.check_scripts(p.scripts_value, p.script_args_value)
        if self._wish.test and not 0 <= self._wish.test_tile <= len(self.plan.passes[-1].grid.tiles):
            raise SettingsError(
                f"There is no tile {self._wish.test_tile}",
                f"choose 1 to {len(self.plan.passes[-1].grid.tiles)}, or 0 for the middle one",
            )
        if environment.option("samples_save", True) and not p.do_not_save_samples and not self._wish.test:
            _check_format(environment.option("samples_format", "png"), self.plan.output)

    def init(self, all_prompts: Any, all_seeds: Any, all_subseeds: Any) -> None:
        """In place of the host's, which would resize and encode the whole picture."""
        p = self._p
        p.extra_generation_params["Denoising strength"] = p.denoising_strength
        if getattr(loaded_model(), "cond_stage_key", "edit") != "edit":
            p.image_cfg_scale = None  # the host drops it for all models but instruct-pix2pix, and then tells none
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

    def sample(self, *_: Any, **__: Any) -> Any:
        """In place of the host's: the finished picture."""
        p = self._p
        self._stops.begin_image()
        self._bar.begin_picture()
        thumbnail = PreviewThumbnail()
        negative = p.all_negative_prompts[p.iteration]
        key, journal = self._journal()
        seeds = Seeds(key.seed, int(p.subseeds[0]), p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w)
        painter = HostPainter(TileRun(p, self._runner, negative, seeds, self._native, self._stops), self._settings)

        def enlarge(pixels: Pixels, size: Size) -> Pixels:
            made = self._enlarge(pixels, size)
            thumbnail.begin(made)
            self._bar.report(0.0)
            return made

        try:
            with quiet_host():
                result = redraw(
                    RedrawPicture(self._pixels, p.all_prompts[p.iteration], self._mask),
                    self.plan,
                    painter,
                    enlarge,
                    self._bar,
                    journal,
                    only=self._only() if self._wish.test else None,
                    on_tile_done=lambda region, pixels, _: thumbnail.paste(region, pixels),
                )
        except CancelledError:
            return self._not_begun()
        finally:
            self._stops.restore()
            self._bar.end_picture()
        if journal is not None and journal.problem:
            p.comment(f"{journal.problem}; an interrupted redraw can't be resumed.")
        self._tell(result, painter)
        self._prepare_finish(result)
        return _as_samples(self._shown(result))

    def _only(self) -> Any:
        def chosen(grid: Grid) -> Iterable[Tile]:
            number = min(self._wish.test_tile, len(grid.tiles))
            return [grid.tiles[number - 1] if number else grid.middle]

        return chosen

    def _journal(self) -> tuple[JobKey, Journal | None]:
        """The key of this picture and its journal; a random seed becomes that of an unfinished job like this one."""
        p = self._p
        seed = int(p.seeds[0])
        identity = redraw_identity.of(p, self._runner, self._enlarge.name)
        key = job_key(self._pixels, self._mask, self._settings, seed, identity)
        if self._wish.test:
            return key, None
        root = journal_root()
        if self._is_random and self._settings.resume and p.iteration == 0:
            found = unfinished(root, key.base)
            if found:
                key = found[0].key
                self._take_seed(key.seed)
        journal = Journal(root, key)
        if not self._settings.resume:
            journal.discard()
        elif kept := len(journal):
            console.say(f"resuming with seed {key.seed}: {kept} tiles are finished already")
        return key, journal

    def _take_seed(self, seed: int) -> None:
        p = self._p
        step = 1 if p.subseed_strength == 0 else 0
        p.all_seeds = [seed + step * number for number in range(len(p.all_seeds))]
        p.seeds = p.all_seeds[p.iteration : p.iteration + 1]
        jobs.write_params(p)

    def _tell(self, result: RedrawResult, painter: HostPainter) -> None:
        """What was done goes into the infotext and under the picture."""
        p = self._p
        told = p.extra_generation_params
        for name, value in painter.infotext.items():
            told.setdefault(name, value)
        p.comments.update(painter.comments)
        told.pop(f"{PREFIX} partial", None)
        count = result.count
        if result.partial:
            told[f"{PREFIX} partial"] = f"{count.done} of {count.total} tiles"
        if count.resumed:
            p.comment(f"Resumed: {count.resumed} of {count.total} tiles were finished already.")
        if saved := result.saved():
            p.comment(f"{saved}.")
        redraw_times.note(p, result)

    def _prepare_finish(self, result: RedrawResult) -> None:
        """What the host wants for its own work on the finished picture."""
        p = self._p
        if self._wish.test:
            return
        upscaled = to_pil(result.upscaled)
        if environment.option("img2img_color_correction", False) and self._own_colors:
            p.color_corrections = [color_correction(upscaled)]
        if self._mask is not None and result.plan.layout.offset is None:
            self._overlay(upscaled, result)
        if self._settings.save_upscaled:
            self.extra_images.append(upscaled)
            if p.save_samples():
                save_image(
                    upscaled,
                    p.outpath_samples,
                    "",
                    p.seeds[0],
                    p.prompts[0],
                    environment.option("samples_format", "png"),
                    info=_infotext(p),
                    p=p,
                    suffix="-upscaled",
                )

    def _overlay(self, upscaled: Image.Image, result: RedrawResult) -> None:
        """What is not masked stays as it is, whatever is done to the picture's colors or faces later."""
        assert self._mask is not None
        last = result.plan.passes[-1]
        mask = last.cut(resize(self._mask, last.enlarged))
        self._p.mask_for_overlay = Image.fromarray(np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8), "L")
        overlay = upscaled.convert("RGBA")
        # Soft edges are blended already: only what is untouched is laid over.
        overlay.putalpha(Image.fromarray(np.where(mask > 0, 0, 255).astype(np.uint8), "L"))
        self._p.overlay_images = [overlay]

    def _shown(self, result: RedrawResult) -> Pixels:
        if not self._wish.test:
            return result.pixels
        grid = result.plan.passes[-1].grid
        tile = next(iter(self._only()(grid)))
        region = tile.region
        shown: Pixels = result.pixels[region.rows, region.columns]
        return shown

    def _not_begun(self) -> Any:
        """Stopped while it was being enlarged: there is only the picture itself."""
        self._p.do_not_save_samples = True
        self._p.extra_generation_params[f"{PREFIX} partial"] = "not upscaled"
        return _as_samples(self._pixels)


def _usable(request: RedrawRequest) -> RedrawSettings:
    """The settings as far as they apply. A test is of a tile redrawn by itself: in lockstep none is ever alone."""
    settings = request.settings
    if request.test:
        settings = settings.changed(method=RedrawMethod.TILES)
    return settings.effective(Page.SCRIPT, settings.method)


def _wants_random_seed(p: Any) -> bool:
    """Whether any seed will do. A batch of pictures has drawn one by now; then the page's own control still says so."""
    if p.seed in _RANDOM:
        return True
    arguments = p.script_args_value or ()
    scripts = p.scripts_value.alwayson_scripts if p.scripts_value is not None else ()
    control = next((script.args_from for script in scripts if type(script).__name__ == "ScriptSeed"), None)
    return control is not None and not p.is_api and control < len(arguments) and arguments[control] in _RANDOM


def _check_format(name: str, size: Size) -> None:
    """Raise `FormatLimitError` if the host's format for samples can't hold the result."""
    try:
        check_writable(f"The result.{name}", size)
    except FormatLimitError:
        raise
    except OutputError:  # a format that only the host knows: it may well write it
        return


def _picture(p: Any) -> Pixels:
    given = list(getattr(p, "init_images", None) or [])
    if not given or given[0] is None:
        raise SettingsError("There is no picture to upscale", "put one into img2img")
    image = flatten(given[0], environment.option("img2img_background_color", "#ffffff")).convert("RGB")
    return np.asarray(np.asarray(image, dtype=np.float32) / np.float32(255), dtype=np.float32)


def _mask(p: Any, size: Size) -> Plane | None:
    """The mask as the host would use it: rounded, inverted if asked, blurred."""
    if p.image_mask is None:
        return None
    image = binary_mask(p.image_mask, round_values=getattr(p, "mask_round", True))
    if image.size != tuple(size):
        image = image.resize((size.width, size.height), Image.Resampling.BILINEAR)
    mask: Plane = np.asarray(np.asarray(image, dtype=np.float32) / np.float32(255), dtype=np.float32)
    if p.inpainting_mask_invert:
        mask = 1 - mask
        p.extra_generation_params["Mask mode"] = "Inpaint not masked"
    blur = max(p.mask_blur_x, p.mask_blur_y)
    if blur > 0 and mask.any():
        mask = gaussian(mask, float(blur))
        mask[mask < 0.5 / 255] = 0
        p.extra_generation_params["Mask blur"] = blur
    return mask


def _infotext(p: Any) -> str:
    return create_infotext(p, p.prompts, p.seeds, p.subseeds, index=0, all_negative_prompts=p.negative_prompts)


def _as_samples(pixels: Pixels) -> Any:
    # The host cuts off what is below a level: a quarter more makes that rounding.
    levels = (np.rint(np.clip(pixels, 0, 1) * 255) + 0.25) / 255 * 2 - 1
    return as_decoded_samples([torch.from_numpy(np.ascontiguousarray(np.moveaxis(levels, 2, 0), dtype=np.float32))])
