"""Runs a redraw: the picture is enlarged, redrawn tile by tile, and put together again without seams."""

from __future__ import annotations

import numpy as np

from lib_upscale.errors import CancelledError
from lib_upscale.image.levels import to_floats, to_levels
from lib_upscale.image.padding import pad_floats
from lib_upscale.image.resampling import resample
from lib_upscale.progress import SILENT, Progress
from lib_upscale.redrawing.journal import Journal
from lib_upscale.redrawing.painter import Painter, Upscaler
from lib_upscale.redrawing.plan import PassPlan, RedrawPlan, plan_redraw
from lib_upscale.redrawing.result import RedrawPicture, RedrawResult
from lib_upscale.redrawing.tile_loop import OnTileDone, TileFilter, TileLoop
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.settings.redraw import RedrawSettings, TileContext

__all__ = ["plan_and_redraw", "redraw"]


def redraw(
    picture: RedrawPicture,
    plan: RedrawPlan,
    painter: Painter,
    upscaler: Upscaler,
    progress: Progress = SILENT,
    journal: Journal | None = None,
    *,
    only: TileFilter | None = None,
    on_tile_done: OnTileDone | None = None,
    enlarging: float = 1.0,
) -> RedrawResult:
    """Enlarge `picture` to exactly the size that was planned and have `painter` redraw it.

    Stopping is no error once a tile is done: where `progress.cancelled()`, asked before each batch, says so, or the
    painter or the upscaler raises `CancelledError`, the result is partial.

    Args:
        picture: The picture and its prompt; of the size and with the mask that `plan` was made for.
        plan: What to do, from `plan_redraw`.
        painter: What redraws tiles.
        upscaler: What enlarges the picture before each pass.
        progress: Hears what is done: enlarging, tiles and borders of all passes are parts of one whole.
        journal: Keeps finished tiles. Those in it are not painted again. It is discarded at the end of a run that was
            not stopped; after an error it holds every finished tile.
        only: Chooses the tiles to paint, as for a test of one.
        on_tile_done: Called with each finished tile.
        enlarging: What enlarging the picture costs, in tiles, for the progress.

    Raises:
        ValueError: The plan is for a picture of another size.
        CancelledError: It was stopped while the picture was enlarged for the first tile.
        UpscalePlusError: What the painter and the upscaler raise.
    """
    if picture.size != plan.source:
        raise ValueError(f"the plan is for a picture of {plan.source}, not of {picture.size}")
    if only is not None and plan.settings.mode is TileContext.SEQUENTIAL:
        journal = None  # a tile painted without its neighbors is not the one of a whole run
    loop = TileLoop(picture, plan, painter, progress, journal, only, on_tile_done, enlarging)
    pixels = upscaled = picture.pixels
    for step in plan.passes:
        upscaled = _enlarge(pixels, step, upscaler, loop)
        pixels = loop.run_pass(upscaled, step)
    if len(plan.passes) > 1:
        upscaled = _enlarge(picture.pixels, plan.passes[-1], upscaler, loop)
    if not loop.stopped:
        loop.work.finish()
    if journal is not None and only is None and not loop.stopped:
        journal.discard()
    result, plain = (pad_floats(np.clip(p, 0, 1), plan.layout) for p in (pixels, upscaled))
    return RedrawResult(result, plain, plan, loop.stopped, loop.count, loop.seconds, loop.resampled)


def plan_and_redraw(
    picture: RedrawPicture,
    settings: RedrawSettings,
    painter: Painter,
    upscaler: Upscaler,
    progress: Progress = SILENT,
    journal: Journal | None = None,
    *,
    strength: float,
    only: TileFilter | None = None,
    on_tile_done: OnTileDone | None = None,
    enlarging: float = 1.0,
) -> RedrawResult:
    """Plan and run in one go; the plan is in the result. `strength` is the denoising strength, above 0 to 1.

    Raises `SettingsError` before anything is done, and what `redraw` raises.
    """
    native, multiple = painter.native, painter.multiple
    plan = plan_redraw(picture.size, settings, native=native, multiple=multiple, strength=strength, mask=picture.mask)
    return redraw(
        picture,
        plan,
        painter,
        upscaler,
        progress,
        journal,
        only=only,
        on_tile_done=on_tile_done,
        enlarging=enlarging,
    )


def _enlarge(pixels: Pixels, step: PassPlan, upscaler: Upscaler, loop: TileLoop) -> Pixels:
    """Enlarge for a pass. If that is stopped, what is done until then is only resampled: it must not be lost."""
    try:
        with loop.work.enlarging(step):
            enlarged = np.asarray(upscaler(pixels, step.enlarged), dtype=np.float32)
    except CancelledError:
        if not loop.count.done:
            raise
        loop.stopped = loop.resampled = True
        enlarged = to_floats(resample(to_levels(pixels, np.uint16), step.enlarged))
    if enlarged.shape != (step.enlarged.height, step.enlarged.width, 3):
        raise ValueError(f"the upscaler made {enlarged.shape} instead of {step.enlarged}")
    return step.cut(enlarged)
