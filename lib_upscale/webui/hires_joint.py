"""Hires fix's second pass with all tiles in lockstep: the host's own pass, its model and VAE called tile by tile.

So prompts, networks, latent upscalers, refiner, scripts and batches are the host's, with nothing redone here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redraw.grid import LATENT
from lib_upscale.redraw.joint import JointSettings
from lib_upscale.redraw.joint_plan import joint_settings
from lib_upscale.redraw.prompts import parse_regions, tile_prompt
from lib_upscale.redraw_settings import PromptSource, RedrawSettings
from lib_upscale.webui import base_model, host
from lib_upscale.webui.hires_size import HiresSize
from lib_upscale.webui.joint_binding import JointWork, bind
from lib_upscale.webui.joint_prompts import conditioning_of
from lib_upscale.webui.quiet import StopProgress, small_previews
from lib_upscale.webui.tiled_vae import is_known, tiled_vae

__all__ = ["second_pass_joint", "tile_prompts"]


def second_pass_joint(
    p: Any, settings: RedrawSettings, size: HiresSize, original: Callable[..., Any], given: Sequence[Any]
) -> list[Tensor]:
    """Pictures (3, height, width), -1 to 1, of `size.canvas`. `original` is the host's pass, `given` its arguments."""
    native = base_model.native_side(getattr(p.hr_checkpoint_info, "name", None))
    joint = joint_settings(size.canvas, settings, native, seed=int(p.seeds[0]))
    work = JointWork(joint, progress=StopProgress())
    with ExitStack() as stack:
        stack.enter_context(small_previews())
        stack.enter_context(_filled_up(p, size))
        if not _is_one_tile(size.canvas, joint):
            stack.enter_context(_vae(p, settings, joint))
        stack.enter_context(_bound(p, settings, size, work))
        made = original(*given)
    if not work.is_bound:
        p.comment("Hires fix plus could not reach this sampler's model: the picture was redrawn in one piece.")
    return list(made)


def tile_prompts(settings: RedrawSettings, canvas: Size, joint: JointSettings) -> Mapping[int, str]:
    """Number of a tile -> its prompt, for tiles that have another than the picture's."""
    regions = parse_regions(settings.regions)
    general = settings.tile_prompt if settings.prompt_source is PromptSource.TILE else None
    columns, rows = joint.origins(Size(canvas.width // LATENT, canvas.height // LATENT))
    found = {}
    for index, (y, x) in enumerate((y, x) for y in rows for x in columns):
        tile = Region(x, y, *joint.tile).scaled(LATENT)
        prompt = tile_prompt(general if general is not None else "\0", regions, tile, canvas)
        if prompt != "\0":
            found[index] = prompt
    return found


@contextmanager
def _bound(p: Any, settings: RedrawSettings, size: HiresSize, work: JointWork) -> Iterator[None]:
    """Bind the sampler once the host has made it and the networks of the second prompt are in place."""
    calculate = p.calculate_hr_conds

    def calculate_hr_conds() -> Any:
        result = calculate()
        if p.is_hr_pass and p.sampler is not None:
            steps = p.hr_second_pass_steps or p.steps
            work.conditioning = conditioning_of(p, tile_prompts(settings, size.canvas, work.settings), steps)
            bind(p.sampler, p, work)
        return result

    p.calculate_hr_conds = calculate_hr_conds
    try:
        yield
    finally:
        del p.calculate_hr_conds


@contextmanager
def _vae(p: Any, settings: RedrawSettings, joint: JointSettings) -> Iterator[None]:
    network = host.vae_network()
    if not is_known(network):
        p.comment("This VAE is of a kind that can't run by tiles: it took the whole picture.")
        yield
        return
    with tiled_vae(network, max(joint.tile) * LATENT, settings.vae, StopProgress()):
        yield


@contextmanager
def _filled_up(p: Any, size: HiresSize) -> Iterator[None]:
    """Sides that are no multiple of 8 are filled up by reflection, and a latent grows to that size.

    The host would leave the last pixels out.
    """
    network = host.vae_network()
    if all(side % LATENT == 0 for side in size.enlarged):
        yield
        return
    if p.latent_scale_mode is not None:
        p.hr_upscale_to_x, p.hr_upscale_to_y = (-(-side // LATENT) * LATENT for side in size.enlarged)
        try:
            yield
        finally:
            p.hr_upscale_to_x, p.hr_upscale_to_y = size.enlarged
        return

    def filled(module: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _reflected(values[0]), *values[1:]

    handle = network.encoder.register_forward_pre_hook(filled)
    try:
        yield
    finally:
        handle.remove()


def _reflected(pixels: Tensor) -> Tensor:
    down, across = (-side % LATENT for side in pixels.shape[2:])
    if not (down or across):
        return pixels
    mode = "reflect" if min(pixels.shape[2:]) > LATENT else "replicate"
    return F.pad(pixels, (0, across, 0, down), mode=mode)


def _is_one_tile(canvas: Size, joint: JointSettings) -> bool:
    return all(tile * LATENT >= side for tile, side in zip(joint.tile, canvas, strict=True))
