"""The redraw: a picture is enlarged, redrawn tile by tile, and put together again without seams."""

from __future__ import annotations

import numpy as np

from lib_upscale.progress import SILENT, Progress
from lib_upscale.redrawing.journal import Journal
from lib_upscale.redrawing.painter import Painter, Upscaler
from lib_upscale.redrawing.plan import PassPlan, plan_redraw
from lib_upscale.redrawing.result import RedrawPicture, RedrawResult
from lib_upscale.redrawing.tile_loop import OnTileDone, Run, TileFilter
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.redrawing.tiles.padding import pad_or_crop
from lib_upscale.settings.redraw import RedrawSettings, TileContext

__all__ = ["redraw"]


def redraw(
    picture: RedrawPicture, settings: RedrawSettings, painter: Painter, upscaler: Upscaler,
    progress: Progress = SILENT, journal: Journal | None = None, *,
    only: TileFilter | None = None, shown: OnTileDone | None = None,
) -> RedrawResult:  # fmt: skip
    """Enlarge `picture` to exactly the size that the settings ask for and have `painter` redraw it.

    Tiles in `journal` are not painted again; it is discarded at the end of a run that was not stopped. `only` chooses
    the tiles to paint, as for a test of one; `shown` is told of each finished tile. Stopping is no error: where
    `progress.cancelled()`, asked before each batch, says so, or the painter raises `CancelledError`, the result is
    partial. Raises `SettingsError` before anything is done, and what the painter raises; the journal then holds
    every finished tile.
    """
    plan = plan_redraw(
        picture.size, settings, native=painter.native, multiple=painter.multiple,
        strength=picture.strength, mask=picture.mask,
    )  # fmt: skip
    if only is not None and settings.mode is TileContext.SEQUENTIAL:
        journal = None  # a tile painted without its neighbors is not the one of a whole run
    run = Run(picture, settings, painter, plan.tiles, progress, journal, only, shown)
    pixels = upscaled = picture.pixels
    for step in plan.passes:
        upscaled = _enlarged(pixels, step, upscaler)
        pixels = run.redrawn(upscaled, step)
    if len(plan.passes) > 1:
        upscaled = _enlarged(picture.pixels, plan.passes[-1], upscaler)
    if journal is not None and only is None and not run.stopped:
        journal.discard()
    result, plain = (pad_or_crop(np.clip(p, 0, 1), plan.layout) for p in (pixels, upscaled))
    return RedrawResult(result, plain, plan, run.stopped, run.count, run.seconds)


def _enlarged(pixels: Pixels, step: PassPlan, upscaler: Upscaler) -> Pixels:
    enlarged = np.asarray(upscaler(pixels, step.enlarged), dtype=np.float32)
    if enlarged.shape != (step.enlarged.height, step.enlarged.width, 3):
        raise ValueError(f"the upscaler made {enlarged.shape} instead of {step.enlarged}")
    return enlarged[step.crop.rows, step.crop.columns] if step.crop else enlarged
