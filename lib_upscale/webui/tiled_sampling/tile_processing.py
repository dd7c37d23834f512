"""The host's parameters for a batch of tiles: a copy of the picture's that shares nothing which a run changes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.model import is_xl
from lib_upscale.webui.host.patching import option_set
from lib_upscale.webui.tiled_sampling import controlnet_units as control_units
from lib_upscale.webui.tiled_sampling import tile_scripts
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds, TileRandom

__all__ = ["tile_processing"]


def tile_processing(
    p: Any, runner: Any, jobs: Sequence[TileJob], negative: str, seeds: Seeds, canvas: Size, random: TileRandom,
    watch: Callable[[], None], prepare: Callable[[Any], None] | None = None,
) -> Any:  # fmt: skip
    """Parameters with which the host's `process_images` redraws those tiles.

    `p` is the picture's, `runner` what `tile_scripts.for_tiles` gives; `watch` is called between encoding and sampling,
    `prepare` with the parameters once their sampler is about to begin.
    """
    first, count = jobs[0], len(jobs)
    tile = copy.copy(p)
    for name in ("init", "sample", "setup_conds"):  # what was put on the picture's own parameters
        vars(tile).pop(name, None)
    tile.prompt = [job.prompt for job in jobs]
    tile.negative_prompt = [negative] * count
    tile.styles = []  # they are in the prompts already
    tile.seed, tile.subseed = [seeds.seed] * count, [seeds.subseed] * count
    tile.batch_size, tile.n_iter = count, 1
    tile.init_images = [to_pil(job.pixels) for job in jobs]
    tile.width, tile.height = first.region.size
    tile.resize_mode = 0
    tile.denoising_strength = first.strength
    _with_mask(tile, first)
    tile.do_not_save_samples = tile.do_not_save_grid = True
    tile.do_not_reload_embeddings = True
    tile.restore_faces = tile.tiling = False
    tile.color_corrections = []  # not None: the host would make them for each tile
    tile.token_merging_ratio = p.get_token_merging_ratio()
    tile.refiner_checkpoint = tile.refiner_checkpoint_info = None
    tile.override_settings = {}  # they hold for the whole picture and would be set and taken back for each tile
    tile.extra_generation_params, tile.comments = {}, {}
    tile.scripts_value = runner
    tile.script_args_value = _script_args(p.script_args_value, runner, first.region, canvas)
    tile.scripts_setup_complete = True
    tile.sampler = tile.c = tile.uc = tile.rng = None
    _with_windows(tile, random, watch, prepare)
    _with_cached_conds(tile, p, first.region, canvas)
    return tile


def _with_mask(tile: Any, job: TileJob) -> None:
    """The tile's part of the mask; where all of it is redrawn, no mask at all."""
    tile.mask = tile.nmask = tile.latent_mask = tile.mask_for_overlay = tile.overlay_images = tile.paste_to = None
    tile.image_mask = None
    if job.mask is not None and not bool((job.mask >= 1).all()):
        tile.image_mask = to_pil(job.mask)
        tile.mask_blur_x = tile.mask_blur_y = 0  # the mask has been blurred already
        tile.inpainting_mask_invert, tile.inpaint_full_res = 0, False
        tile.inpainting_fill = 1  # the tile is to be redrawn from what is there


def _script_args(arguments: Any, runner: Any, region: Region, canvas: Size) -> Any:
    """The scripts' arguments, ControlNet's pictures cut to the tile."""
    if not arguments:
        return arguments
    changed = list(arguments)
    for script in runner.alwayson_scripts:
        if tile_scripts.is_denoising(script) and script.args_from is not None:
            part = slice(script.args_from, script.args_to)
            changed[part] = control_units.cropped(changed[part], region, canvas)
    return changed


def _with_windows(
    tile: Any, random: TileRandom, watch: Callable[[], None], prepare: Callable[[Any], None] | None
) -> None:  # fmt: skip
    """Have all random numbers of the tile be windows of the canvas."""
    init, sample = tile.init, tile.sample
    # Hires fix counts all steps as taken; img2img takes its strength's share of them.
    steps = vars(tile).get("upscale_plus_steps")

    def windowed_init(*arguments: Any, **named: Any) -> Any:
        with random.in_encoder():
            result = init(*arguments, **named)
        watch()
        return result

    def windowed_sample(*arguments: Any, **named: Any) -> Any:
        # Not before: the host makes a generator of its own just before it calls this, and the sampler takes hold of
        # it (for what k-diffusion draws itself) in here.
        watch()
        tile.rng = random
        if hasattr(tile.sampler, "create_noise_sampler"):
            tile.sampler.create_noise_sampler = random.create_noise_sampler
        if prepare is not None:
            prepare(tile)
        if steps is not None:
            tile.sampler.sample_img2img = functools.partial(tile.sampler.sample_img2img, steps=steps)
        return sample(*arguments, **named)

    tile.init, tile.sample = windowed_init, windowed_sample


def _with_cached_conds(tile: Any, p: Any, region: Region, canvas: Size) -> None:
    """Let the host find the picture's text encodings again, where they do not depend on the tile."""
    if is_xl(tile.sd_model):
        tile.cached_c, tile.cached_uc = [None] * len(p.cached_c), [None] * len(p.cached_uc)
        setup = tile.setup_conds

        def setup_conds() -> Any:
            with _told_of_place(tile.sd_model, region, canvas):
                return setup()

        tile.setup_conds = setup_conds
        return
    original = tile.cached_params

    def cached_params(*arguments: Any, **named: Any) -> Any:
        # The size is part of the key for SDXL's sake alone.
        own = tile.width, tile.height
        tile.width, tile.height = p.width, p.height
        try:
            return original(*arguments, **named)
        finally:
            tile.width, tile.height = own

    tile.cached_params = cached_params


@contextmanager
def _told_of_place(model: Any, region: Region, canvas: Size) -> Iterator[None]:
    """SDXL is told that it sees a crop: of a picture as large as the canvas, at the tile's place."""
    conditioner = getattr(model, "conditioner", None)
    if conditioner is None or not hasattr(conditioner, "forward"):
        with _crop_option(region):
            yield
        return
    original = conditioner.forward

    def forward(batch: Any, *arguments: Any, **named: Any) -> Any:
        told = {"original_size_as_tuple": (canvas.height, canvas.width), "crop_coords_top_left": (region.y, region.x)}
        changed = dict(batch)
        for name, (vertical, horizontal) in told.items():
            if name in changed:
                changed[name] = changed[name].new_tensor([vertical, horizontal]).expand_as(changed[name])
        return original(changed, *arguments, **named)

    conditioner.forward = forward
    try:
        yield
    finally:
        del conditioner.forward


@contextmanager
def _crop_option(region: Region) -> Iterator[None]:
    """For hosts that keep SDXL's conditioner elsewhere: the crop alone, by their own settings."""
    with option_set("sdxl_crop_left", region.x), option_set("sdxl_crop_top", region.y):
        yield
