"""One run of one network over one picture: how it is cut, and the run itself."""

from __future__ import annotations

import time
from typing import Any

import torch
from numpy.typing import NDArray

from lib_upscale.device import retain_malloc_pages
from lib_upscale.errors import TileTooSmallError
from lib_upscale.image.geometry import Size
from lib_upscale.models.identity import SizeRequirements, TilingSupport
from lib_upscale.models.runtime.model_cache import Model
from lib_upscale.progress import SILENT, Progress, Span
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.tiling.plan import SizeConstraint, smallest_tile
from lib_upscale.tiling.receptive_field import ReceptiveField, known_receptive_field, measure_receptive_field
from lib_upscale.tiling.run import TilingConfig, canvas_for, run_tiles
from lib_upscale.tiling.tile_size import automatic_tile

__all__ = ["choose_tiling", "run_pass", "seconds_per_pixel", "size_constraint_of"]

_FADED_TILE = 256
"""The tile of which a quarter is overlap where neighbors fade into each other; larger tiles overlap no more."""

_TIMING = 1.0
"""Seconds after which a network that never ran here is not timed again."""


def size_constraint_of(model: Model) -> SizeConstraint:
    """What the network demands of its tiles."""
    needs: SizeRequirements = model.facts.size_requirements
    return SizeConstraint(model.align, max(1, needs.minimum), needs.square)


def choose_tiling(model: Model, size: Size, settings: UpscaleSettings, progress: Progress = SILENT) -> TilingConfig:
    """How to cut a picture of that size for that model; measures the model's reach if that was never done.

    Raises:
        TileTooSmallError: tile and overlap were set by hand and don't fit each other.
        CancelledError: while measuring.
    """
    constraint = size_constraint_of(model)
    side = max(constraint.ceil(size.width), constraint.ceil(size.height))
    if model.facts.tiling is TilingSupport.INTERNAL:
        return TilingConfig(side, 0, constraint=constraint, divisible=False)
    tile = _automatic(model, size, 0, constraint) if settings.tile is None else settings.tile
    if side <= tile:
        # The overlap counts only if memory runs out and the one tile becomes several.
        return _cut(side, _known(model) or ReceptiveField(None), settings, constraint)
    reach = _reach(model, constraint, settings, progress)
    if settings.tile is None:
        overlap = settings.overlap if settings.overlap is not None else reach.overlap(_FADED_TILE)
        tile = _automatic(model, size, overlap, constraint)
    tiling = _cut(tile, reach, settings, constraint)
    least = smallest_tile(tiling.overlap, constraint)
    if tile < least:
        raise TileTooSmallError(
            f"A tile of {tile} is too small for {model.path.name} with an overlap of {tiling.overlap}", least
        )
    return tiling


def _automatic(model: Model, size: Size, overlap: int, constraint: SizeConstraint) -> int:
    return automatic_tile(
        size,
        overlap,
        constraint,
        model.memory_per_pixel(),
        model.device,
        largest=model.noted("tile"),
        undivided=model.facts.tiling is TilingSupport.DISCOURAGED,
    )


def _cut(tile: int, reach: ReceptiveField, settings: UpscaleSettings, constraint: SizeConstraint) -> TilingConfig:
    """Tiles of that side: cut hard where they overlap enough for it, else faded into each other."""
    overlap = settings.overlap if settings.overlap is not None else reach.overlap(min(tile, _FADED_TILE))
    exact = reach.radius is not None and overlap >= 2 * reach.radius
    return TilingConfig(tile, overlap, not exact, constraint)


def _known(model: Model) -> ReceptiveField | None:
    noted = model.known("radius")
    if noted is not None:
        return ReceptiveField(None if noted < 0 else int(noted))
    return known_receptive_field(model.facts, model.align)


def _reach(model: Model, constraint: SizeConstraint, settings: UpscaleSettings, progress: Progress) -> ReceptiveField:
    known = _known(model)
    if known is not None:
        return known
    if settings.overlap is not None:
        # Set by hand: a hard cut would show where it is too narrow, a fade never does.
        return ReceptiveField(None)
    progress.report(0, "measuring how far the network sees")
    with retain_malloc_pages(model.device):
        reach = model.in_full_precision(
            lambda: measure_receptive_field(model, constraint, settings.tile or 512, progress)
        )
    if reach is None:
        return ReceptiveField(None)  # for now: another tile or device may leave room to measure it
    model.learn(radius=-1 if reach.radius is None else reach.radius)
    return reach


def run_pass(
    pixels: NDArray[Any], model: Model, settings: UpscaleSettings, bits: int, progress: Progress = SILENT
) -> NDArray[Any]:
    """The picture (height x width x the model's channels, whole levels) through the model, kept in `bits` bits.

    Raises:
        OutOfMemoryError, UnusableModelError, CancelledError, TileTooSmallError.
    """
    size = Size(pixels.shape[1], pixels.shape[0])
    tiling = choose_tiling(model, size, settings, Span(progress, 0, 0))
    canvas = canvas_for(size, model, tiling, model.facts.output_channels, bits)
    with retain_malloc_pages(model.device):
        start = time.perf_counter()
        used = run_tiles(pixels, model, canvas, tiling, progress)
        elapsed = time.perf_counter() - start
    if used.tried:
        model.note(tile=used.tile)
    computed = tiling.plan(size).computed_pixels
    if not used.tried and computed >= 64 * 64:
        model.note(seconds_per_pixel=elapsed / computed)
    return canvas.pixels


def seconds_per_pixel(model: Model) -> float:
    """About how long one computed pixel takes: from earlier pictures, or timed on one small tile."""
    noted = model.noted("seconds_per_pixel")
    if noted is not None:
        return float(noted)
    constraint = size_constraint_of(model)
    small, large = (
        torch.full((1, model.facts.input_channels, side, side), 0.5, device=model.device)
        for side in (constraint.ceil(16), constraint.ceil(48))
    )
    with retain_malloc_pages(model.device):
        model(small)  # the first call prepares kernels
        times: list[float] = []
        # Other programs only ever make it slower: the best of three, unless that would make people wait.
        while len(times) < 3 and sum(times) < _TIMING:
            start = time.perf_counter()
            float(model(large).sum())
            times.append(time.perf_counter() - start)
        return min(times) / large.shape[2] ** 2
