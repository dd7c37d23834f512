"""The passes of a redraw: tiles are chosen, taken from the journal or painted, merged, and their borders mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.levels import to_floats, to_levels
from lib_upscale.progress import Progress, check
from lib_upscale.redrawing.batching import BatchedPainter
from lib_upscale.redrawing.journal import Journal
from lib_upscale.redrawing.latent.canvas_noise import latent_region
from lib_upscale.redrawing.painter import Painter, TileJob
from lib_upscale.redrawing.plan import PassPlan, RedrawPlan
from lib_upscale.redrawing.prompts import tile_prompt
from lib_upscale.redrawing.result import RedrawPicture, TileCount
from lib_upscale.redrawing.tiles.canvas import Canvas
from lib_upscale.redrawing.tiles.color_lock import match_low_frequencies
from lib_upscale.redrawing.tiles.detail import is_flat, measure_detail, tile_strength
from lib_upscale.redrawing.tiles.filters import Pixels, resize
from lib_upscale.redrawing.tiles.grid import Grid, Tile
from lib_upscale.redrawing.tiles.masks import composite
from lib_upscale.redrawing.tiles.order import stages
from lib_upscale.redrawing.tiles.seams import Border, blend_patch, borders, discontinuity, patch_region, stands_out
from lib_upscale.redrawing.work_progress import WorkProgress
from lib_upscale.settings.redraw import PromptSource, TileContext

__all__ = ["OnTileDone", "TileFilter", "TileLoop"]

TileFilter = Callable[[Grid], Iterable[Tile]]
"""Which tiles of a grid to paint, as for a test of one."""

OnTileDone = Callable[[Region, Pixels, Size], None]
"""Called with each finished tile: where it lies, its pixels, and the size of the canvas. For a live preview."""

_Levels = NDArray[np.uint16]


class TileLoop:
    """What all passes of one redraw share, and how a pass is done."""

    def __init__(
        self,
        picture: RedrawPicture,
        plan: RedrawPlan,
        painter: Painter,
        progress: Progress,
        journal: Journal | None,
        only: TileFilter | None,
        on_tile_done: OnTileDone | None,
        enlarging: float = 1.0,
    ) -> None:
        self._picture, self._settings, self._painter = picture, plan.settings, painter
        self._progress, self._journal, self._on_tile_done = progress, journal, on_tile_done
        self._tested = None if only is None else {step.number: frozenset(only(step.grid)) for step in plan.passes}
        self.work = WorkProgress(progress, plan, self._tested, enlarging)
        self._batched = BatchedPainter(painter, plan.settings.batch_size, progress)
        self.count = TileCount(plan.tiles)
        self.seconds = 0.0
        self.stopped = self.resampled = False

    def run_pass(self, source: Pixels, step: PassPlan) -> Pixels:
        """Redraw an enlarged picture, (height, width, 3); after a stop it is returned as it is."""
        if self.stopped:
            return source
        mask = None if self._picture.mask is None else step.cut(resize(self._picture.mask, step.enlarged))
        canvas = Canvas(step.grid, source, mask)
        self._painter.begin(step)
        for stage in stages(step.grid, self._settings.order, self._settings.mode):
            self._paint_stage(stage, canvas, step)
        merged = canvas.merged(self._settings.blend)
        if self._settings.seam_pass and self._tested is None and not self.stopped:
            self._mend_seams(merged, canvas, step)
            self.work.finish_pass()
        return composite(source, canvas.cropped(merged), mask)

    def _paint_stage(self, stage: Sequence[Tile], canvas: Canvas, step: PassPlan) -> None:
        """Redraw those tiles of one stage that need it; none of them sees another of the same stage."""
        tiles: dict[str, Tile] = {}
        kept: list[tuple[Tile, _Levels]] = []
        jobs = []
        for tile in stage:
            strength = self._strength(tile, canvas, step)
            name = f"{step.number}-{tile.index}"
            if strength <= 0:
                self.count.skipped += 1
                if self._is_wanted(tile, step):
                    self.work.finish_tile()
            elif (levels := self._kept(name, tile.region)) is not None:
                kept.append((tile, levels))
            elif not self.stopped:
                is_sequential = self._settings.mode is TileContext.SEQUENTIAL
                pixels = canvas.seen_by(tile) if is_sequential else canvas.source(tile.region)
                try:
                    jobs.append(self._make_job(name, tile.region, pixels, strength, canvas, step))
                    tiles[name] = tile
                except CancelledError:  # captions take their time, too
                    self.stopped = True
        for tile, levels in kept:  # only now: the jobs above must not have seen them
            self.count.resumed += 1
            self._finish(canvas, tile, levels)
        for job, levels in self._paint(
            jobs, canvas, step, lambda batch: self.work.begin_tiles([tiles[job.name] for job in batch])
        ):
            self.count.painted += 1
            self._finish(canvas, tiles[job.name], levels)

    def _strength(self, tile: Tile, canvas: Canvas, step: PassPlan) -> float:
        """The denoising strength of a tile, 0..1; 0 for one that is not to be redrawn."""
        if not _needs_redraw(canvas, tile.region) or not self._is_wanted(tile, step):
            return 0.0
        amount = measure_detail(canvas.source(tile.region))
        strength = 0.0
        if not is_flat(amount, self._settings):
            strength = tile_strength(amount, step.strength, self._settings)
        if step.strength > 0:
            self.count.spared += max(0.0, 1 - strength / step.strength)
        return strength

    def _is_wanted(self, tile: Tile, step: PassPlan) -> bool:
        return self._tested is None or tile in self._tested[step.number]

    def _make_job(
        self, name: str, region: Region, pixels: Pixels, strength: float, canvas: Canvas, step: PassPlan
    ) -> TileJob:
        # With the joint method regions belong to its latent tiles, which the painter knows.
        regions = self._settings.prompt_regions if step.joint is None else ()
        prompt = tile_prompt(self._general_prompt(canvas.source(region)), regions, region, step.size)
        return TileJob(name, region, pixels, strength, prompt, canvas.mask(region), latent_region(region))

    def _general_prompt(self, source: Pixels) -> str:
        if self._settings.prompt_source in (PromptSource.CAPTION, PromptSource.TAGS):
            check(self._progress)
            self.work.begin_caption()
            return self._painter.caption(source, tags=self._settings.prompt_source is PromptSource.TAGS)
        if self._settings.prompt_source is PromptSource.TILE:
            return self._settings.tile_prompt
        return self._picture.prompt

    def _kept(self, name: str, region: Region) -> _Levels | None:
        return None if self._journal is None else self._journal.get(name, (region.height, region.width, 3))

    def _paint(
        self, jobs: Sequence[TileJob], canvas: Canvas, step: PassPlan, on_begin: Callable[[Sequence[TileJob]], None]
    ) -> Iterator[tuple[TileJob, _Levels]]:
        """Yield each job with its finished tile, which is in the journal by then."""
        started, lock = time.monotonic(), self._settings.color_lock
        try:
            for job, pixels in self._batched.paint(jobs, on_begin):
                levels = to_levels(match_low_frequencies(pixels, canvas.source(job.region), lock), np.uint16)
                if self._journal is not None:
                    self._journal.put(job.name, levels)
                self.count.work += job.strength / step.strength if step.strength else 1.0
                yield job, levels
        except CancelledError:
            self.stopped = True
        finally:
            self.seconds += time.monotonic() - started

    def _finish(self, canvas: Canvas, tile: Tile, levels: _Levels) -> None:
        canvas.finish(tile, levels)
        if self._on_tile_done is not None:
            self._on_tile_done(tile.region, to_floats(levels), canvas.grid.canvas)
        self.work.finish_tile()

    def _mend_seams(self, merged: Pixels, canvas: Canvas, step: PassPlan) -> None:
        """Redraw the borders that stand out; what does not make one less visible is not used. Changes `merged`."""
        before = canvas.source(Region.whole(step.grid.canvas))
        seams: dict[str, tuple[Border, float]] = {}
        for border in borders(step.grid):
            if _needs_redraw(canvas, border.shared) and stands_out(visible := discontinuity(border, merged, before)):
                seams[f"{step.number}-seam-{border.name}"] = border, visible
        for name, patch in self._paint_patches({name: border for name, (border, _) in seams.items()}, canvas, step):
            border, visible = seams[name]
            region = patch_region(border, step.grid)
            unmended = merged[region.rows, region.columns].copy()
            blend = self._settings.blend
            merged[region.rows, region.columns] = blend_patch(
                merged, patch, region, step.grid.area, blend, upright=border.upright
            )
            if discontinuity(border, merged, before) >= visible:
                merged[region.rows, region.columns] = unmended

    def _paint_patches(self, seams: dict[str, Border], canvas: Canvas, step: PassPlan) -> list[tuple[str, Pixels]]:
        """Redraw the tiles over those borders, in the borders' order; fewer if the run is stopped."""
        patches: dict[str, Pixels] = {}
        jobs = []
        self.work.begin_borders(len(seams))
        for name, border in seams.items():
            region = patch_region(border, step.grid)
            if (levels := self._kept(name, region)) is not None:
                patches[name] = to_floats(levels)
                self.work.finish_border()
            else:
                jobs.append(self._make_job(name, region, canvas.source(region), step.strength, canvas, step))
        for job, levels in self._paint(jobs, canvas, step, lambda batch: self.work.begin_border(len(batch))):
            patches[job.name] = to_floats(levels)
            self.count.borders += 1
            self.work.finish_border()
        return [(name, patches[name]) for name in seams if name in patches]


def _needs_redraw(canvas: Canvas, region: Region) -> bool:
    """Say whether any pixel there is to be redrawn."""
    mask = canvas.mask(region)
    return mask is None or bool(mask.any())
