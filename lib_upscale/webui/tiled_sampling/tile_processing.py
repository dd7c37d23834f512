"""The host's parameters for a batch of tiles: a copy of the image's that shares nothing which a run changes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing import TileJob
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.model import is_xl
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.protocols import HostImg2Img, HostModel, HostScriptRunner
from lib_upscale.webui.tiled_sampling import controlnet_hints, controlnet_units
from lib_upscale.webui.tiled_sampling.canvas_rng import TileRandom
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from lib_upscale.webui.tiled_sampling.tile_scripts import is_denoising

__all__ = ["tile_parameters"]

_RESIZE_PLAINLY = 0
_FILL_WITH_ORIGINAL = 1
_COLLECTED = ("extra_result_images", "latents_after_sampling", "pixels_after_sampling")
"""Lists of the Forge family that every run adds to; what tiles add to them belongs to no result."""


def tile_parameters(
    run: TileRun,
    runner: HostScriptRunner,
    jobs: Sequence[TileJob],
    canvas: Size,
    random: TileRandom,
    prepare: Callable[[HostImg2Img], None] | None = None,
) -> HostImg2Img:
    """Parameters with which the host's `process_images` redraws a batch of tiles.

    Args:
        run: The image that the tiles are of.
        runner: The scripts that run for tiles.
        jobs: The tiles, of one size, strength and mask.
        canvas: The size of the whole canvas in pixels.
        random: The tiles' random numbers.
        prepare: Called with the parameters once their sampler is about to begin.
    """
    first, count = jobs[0], len(jobs)
    p, seeds = run.p, run.seeds
    tile = copy.copy(p)
    for name in ("init", "sample", "setup_conds"):  # what was put on the image's own parameters
        vars(tile).pop(name, None)
    tile.prompt = [job.prompt for job in jobs]
    tile.negative_prompt = [run.negative_prompt] * count
    tile.styles = []  # they are in the prompts already
    tile.seed, tile.subseed = [seeds.seed] * count, [seeds.subseed] * count
    tile.batch_size, tile.n_iter = count, 1
    tile.init_images = [to_pil(job.pixels) for job in jobs]
    tile.width, tile.height = first.region.size
    tile.resize_mode = _RESIZE_PLAINLY
    tile.denoising_strength = first.strength
    _set_mask(tile, first)
    tile.do_not_save_samples = tile.do_not_save_grid = True
    tile.do_not_reload_embeddings = True
    tile.restore_faces = tile.tiling = False
    tile.color_corrections = []  # not None: the host would make them for each tile
    tile.token_merging_ratio = p.get_token_merging_ratio()
    tile.refiner_checkpoint = tile.refiner_checkpoint_info = None
    tile.override_settings = {}  # they hold for the whole image and would be set and taken back for each tile
    tile.extra_generation_params, tile.comments = {}, {}
    for name in _COLLECTED:
        if hasattr(tile, name):
            setattr(tile, name, [])
    tile.scripts_value = runner
    tile.script_args_value = _tile_arguments(run.arguments, runner, first.region, canvas)
    tile.scripts_setup_complete = True
    tile.sampler = tile.c = tile.uc = tile.rng = None
    _use_windows(tile, random, run, prepare)
    _keep_encoded_prompts(tile, p, first.region, canvas)
    return tile


def _set_mask(tile: HostImg2Img, job: TileJob) -> None:
    """The tile's part of the mask; where all of it is redrawn, no mask at all."""
    tile.mask = tile.nmask = tile.latent_mask = tile.mask_for_overlay = tile.overlay_images = tile.paste_to = None
    tile.image_mask = None
    if job.mask is not None and not bool((job.mask >= 1).all()):
        tile.image_mask = to_pil(job.mask)
        tile.mask_blur_x = tile.mask_blur_y = 0  # the mask has been blurred already
        tile.inpainting_mask_invert, tile.inpaint_full_res = 0, False
        tile.inpainting_fill = _FILL_WITH_ORIGINAL


def _tile_arguments(
    arguments: Sequence[object] | None, runner: HostScriptRunner, region: Region, canvas: Size
) -> Sequence[object] | None:
    """The scripts' arguments, ControlNet's images cut to the tile unless the hints that it makes of them are."""
    if not arguments:
        return arguments
    changed = list(arguments)
    for script in runner.alwayson_scripts:
        if is_denoising(script) and script.args_from is not None:
            part = slice(script.args_from, script.args_to)
            images = not controlnet_hints.makes_hints(script)
            changed[part] = controlnet_units.crop_units(changed[part], region, canvas, images=images)
    return changed


def _use_windows(
    tile: HostImg2Img, random: TileRandom, run: TileRun, prepare: Callable[[HostImg2Img], None] | None
) -> None:
    """Have all random numbers of the tile be windows of the canvas."""
    init, sample = tile.init, tile.sample

    def windowed_init(*arguments: object, **named: object) -> None:
        with random.in_encoder():
            init(*arguments, **named)
        run.stops.renew()
        run.stops.begin_tile()

    def windowed_sample(*arguments: object, **named: object) -> Sequence[Tensor]:
        # Not before: the host makes a generator of its own just before it calls this, and the sampler takes hold of
        # it (for what k-diffusion draws itself) in here.
        run.stops.renew()
        tile.rng = random
        sampler = tile.sampler
        assert sampler is not None
        if hasattr(sampler, "create_noise_sampler"):
            sampler.create_noise_sampler = random.create_noise_sampler
        if prepare is not None:
            prepare(tile)
        if run.sampler_steps is not None:
            # Hires fix counts all steps as taken; img2img takes its strength's share of them.
            sampler.sample_img2img = functools.partial(sampler.sample_img2img, steps=run.sampler_steps)
        with run.stopwatch.sampling():
            return sample(*arguments, **named)

    tile.init, tile.sample = windowed_init, windowed_sample


def _keep_encoded_prompts(tile: HostImg2Img, p: HostImg2Img, region: Region, canvas: Size) -> None:
    """Let the host find the image's encoded prompts again, where they do not depend on the tile."""
    if is_xl(tile.sd_model):
        tile.cached_c, tile.cached_uc = [None] * len(p.cached_c), [None] * len(p.cached_uc)
        setup = tile.setup_conds

        def setup_conds() -> object:
            with _crop_coordinates(tile.sd_model, region, canvas):
                return setup()

        tile.setup_conds = setup_conds
        return
    original = tile.cached_params

    def cached_params(*arguments: object, **named: object) -> object:
        # The size is part of the key for SDXL's sake alone.
        with replaced(tile, "width", p.width), replaced(tile, "height", p.height):
            return original(*arguments, **named)

    tile.cached_params = cached_params


@contextmanager
def _crop_coordinates(model: HostModel, region: Region, canvas: Size) -> Iterator[None]:
    """SDXL is conditioned on a crop while this lasts: of an image as large as the canvas, at the tile's place."""
    conditioner = getattr(model, "conditioner", None)
    if conditioner is None or not hasattr(conditioner, "forward"):
        # Hosts that keep SDXL's conditioner elsewhere: the crop alone, by their own settings.
        with option_set("sdxl_crop_left", region.x), option_set("sdxl_crop_top", region.y):
            yield
        return
    original = conditioner.forward
    coordinates = {
        "original_size_as_tuple": (canvas.height, canvas.width),
        "crop_coords_top_left": (region.y, region.x),
    }

    def forward(batch: Mapping[str, object], *arguments: object, **named: object) -> object:
        changed = dict(batch)
        for name, (vertical, horizontal) in coordinates.items():
            if isinstance(values := changed.get(name), Tensor):
                changed[name] = values.new_tensor([vertical, horizontal]).expand_as(values)
        return original(changed, *arguments, **named)

    with replaced(conditioner, "forward", forward):
        yield
