"""One run of one network over one image: choose the tiles, run them, time them."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import torch
from numpy.typing import NDArray

from lib_upscale.device import free_memory, is_out_of_memory, retain_malloc_pages
from lib_upscale.errors import TileTooSmallError
from lib_upscale.estimate import Estimate, estimate, kept, read_runs
from lib_upscale.image.geometry import Size
from lib_upscale.models.identity import SizeRequirements, TilingSupport
from lib_upscale.models.runtime.known_model import KnownModel, NotMeasuredError
from lib_upscale.models.runtime.model import Model
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.tiling.plan import SizeConstraint, smallest_tile
from lib_upscale.tiling.receptive_field import ReceptiveField, known_receptive_field, measure_receptive_field
from lib_upscale.tiling.run import TilingConfig, TilingOutcome, blender_for, run_tiles
from lib_upscale.tiling.tile_size import automatic_tile

__all__ = ["choose_tiling", "estimate_seconds", "run_pass", "size_constraint_of"]

_FEATHERED_TILE = 256
"""The tile of which a quarter is overlap where neighbors fade into each other; larger tiles overlap no more."""

_PROBED_TILE = 512
"""The tile whose time measuring the receptive field may take where the tile is automatic."""

_TIMING = 1.0
"""Seconds after which a network that never ran here is not timed again."""

_SMALL, _TIMED = 16, 48
"""Sides in pixels of what is run to prepare kernels, and of what is timed."""

_LEAST_TIMED = 64 * 64
"""Pixels from which on a run says how long others take: below, the time is that of the calls."""

_PROBE = (0.7, 1.5)
"""How much less and more than one small tile a pixel of a whole image may take."""

_ran_here: set[str] = set()
"""Networks that have run in this process: the first time takes longer than those after it."""

_SMALL_BYTES = 2**24
"""Bytes of activations up to which giving memory back after each image costs more than keeping it within one gains."""

_SAME_PACE, _ENOUGH_RUNS = 0.25, 3
"""The share by which a run may take longer or shorter than so many tell before it is stored too: that writes a file."""

_PATIENCE, _MOST_PATIENCE = 60.0, 24 * 3600.0
"""Seconds after which a tile is tried again for which memory ran out: at first, and at most."""

_MORE_ROOM = 1.1
"""How many times the memory has to be free that was free then, for a larger tile to be tried at once."""

_SURE = 0.2
"""Seconds from which on a run may say that it takes longer than known: shorter ones are held up by all else."""


def size_constraint_of(model: Model | KnownModel) -> SizeConstraint:
    """Return what the network demands of its tiles."""
    needs: SizeRequirements = model.facts.size_requirements
    return SizeConstraint(model.align, max(1, needs.minimum), needs.square)


def choose_tiling(
    model: Model | KnownModel, size: Size, settings: UpscaleSettings, progress: Progress = SILENT
) -> TilingConfig:
    """Choose how to tile an image for a model.

    Measures the model's receptive field if the tiles depend on it and it was never measured: up to ten seconds, or as
    long as one tile takes.

    Args:
        model: The network, loaded or as far as it is known.
        size: The image's size, in pixels.
        settings: Tile and overlap, or that they are automatic.
        progress: Hears that the receptive field is being measured, and can stop that.

    Raises:
        TileTooSmallError: Tile and overlap were set by hand and don't fit each other.
        CancelledError: The person asked to stop, while measuring.
        NotMeasuredError: The network is not loaded, and it is not known what the tiles depend on.
    """
    constraint = size_constraint_of(model)
    side = max(constraint.ceil(size.width), constraint.ceil(size.height))
    if model.facts.tiling is TilingSupport.INTERNAL:
        return TilingConfig(side, 0, constraint=constraint, divisible=False)
    tile = _automatic_tile(model, size, 0, constraint) if settings.tile is None else settings.tile
    if side <= tile:
        # The overlap counts only if memory runs out and the one tile becomes several.
        return _configure(side, _known_field(model) or ReceptiveField(None), settings, constraint)
    field = _receptive_field(model, constraint, settings, progress)
    if settings.tile is None:
        overlap = settings.overlap if settings.overlap is not None else field.overlap(_FEATHERED_TILE)
        tile = _automatic_tile(model, size, overlap, constraint)
    tiling = _configure(tile, field, settings, constraint)
    least = smallest_tile(tiling.overlap, constraint)
    if tile < least:
        raise TileTooSmallError(
            f"A tile of {tile} is too small for {model.path.name} with an overlap of {tiling.overlap}", least
        )
    return tiling


def _automatic_tile(model: Model | KnownModel, size: Size, overlap: int, constraint: SizeConstraint) -> int:
    return automatic_tile(
        size,
        overlap,
        constraint,
        model.memory_per_pixel(),
        model.device,
        largest=_fitting_tile(model),
        reserved=model.unloaded_bytes,
        undivided=model.facts.tiling is TilingSupport.DISCOURAGED,
    )


def _fitting_tile(model: Model | KnownModel) -> int | None:
    """The tile that fitted after a larger one did not, as long as no more memory is free than then and not for good.

    Another program may have taken the memory for a moment: the larger tile is tried again, after ever longer times.
    """
    tile, free, until, _ = model.measured.per_device.get("fitting_tile") or (None, 0, 0, 0)
    holds = time.time() < until and free_memory(model.device) < free * _MORE_ROOM
    return tile if holds else None


def _store_fitting_tile(model: Model, tile: int) -> None:
    known = model.measured.per_device.get("fitting_tile")
    patience = _PATIENCE if known is None else min(_MOST_PATIENCE, 2 * known[3])
    free = free_memory(model.device)
    model.measured.per_device.put(fitting_tile=[tile, free, time.time() + patience, patience])


def _configure(tile: int, field: ReceptiveField, settings: UpscaleSettings, constraint: SizeConstraint) -> TilingConfig:
    """Tiles of that side: cut hard where they overlap enough for it, else feathered."""
    overlap = settings.overlap if settings.overlap is not None else field.overlap(min(tile, _FEATHERED_TILE))
    exact = field.radius is not None and overlap >= 2 * field.radius
    return TilingConfig(tile, overlap, not exact, constraint)


def _known_field(model: Model | KnownModel) -> ReceptiveField | None:
    radius = model.measured.per_weights.get("radius")
    if radius is not None:
        return ReceptiveField(None if radius < 0 else int(radius))
    return known_receptive_field(model.facts, model.align)


def _receptive_field(
    model: Model | KnownModel, constraint: SizeConstraint, settings: UpscaleSettings, progress: Progress
) -> ReceptiveField:
    known = _known_field(model)
    if known is not None:
        return known
    if settings.overlap is not None:
        # Set by hand: a hard cut would show where it is too narrow, a feathered one never does.
        return ReceptiveField(None)
    if isinstance(model, KnownModel):
        raise NotMeasuredError(model.path)
    check(progress)
    progress.report(0, f"measuring the receptive field of {model.path.name}, once")
    try:
        with retain_malloc_pages(model.device), model.full_precision() as exact, exact.interruptible(progress):
            measured = measure_receptive_field(exact, constraint, settings.tile or _PROBED_TILE, progress)
    except Exception as error:
        if not is_out_of_memory(error):  # no room for the copy in full precision
            raise
        measured = None
    if measured is None:
        return ReceptiveField(None)  # for now: another tile or device may leave room to measure it
    model.measured.per_weights.put(radius=-1 if measured.radius is None else measured.radius)
    return measured


def run_pass(
    pixels: NDArray[Any], model: Model, tiling: TilingConfig, bits: int, progress: Progress = SILENT
) -> tuple[NDArray[Any], TilingOutcome]:
    """Run an image through a model.

    Args:
        pixels: Height x width x the model's channels, whole levels (8 or 16 bits).
        model: The loaded network.
        tiling: How to tile the image.
        bits: 8 or 16, what is kept of each value of the result.
        progress: Hears of every tile, and can stop before the next one.

    Returns:
        The result, height x width x channels in `bits` bits, and which tiles worked in the end.

    Raises:
        OutOfMemoryError: Not even the smallest tile fits.
        UnusableModelError: The network failed.
        CancelledError: The person asked to stop.
    """
    size = Size(pixels.shape[1], pixels.shape[0])
    blender = blender_for(size, model, tiling, model.facts.output_channels, bits)
    large = min(size.pixels, tiling.tile**2) * model.memory_per_pixel() > _SMALL_BYTES
    with retain_malloc_pages(model.device) if large else nullcontext():
        start = time.perf_counter()
        outcome = run_tiles(pixels, model, blender, tiling, progress)
        elapsed = time.perf_counter() - start
    if outcome.tried:
        _store_fitting_tile(model, outcome.tile)
    else:
        _record(model, tiling.plan(size).computed_pixels, elapsed)
    return blender.pixels, outcome


def _record(model: Model, computed: int, seconds: float) -> None:
    """Remember what a run took, the first one in this process apart; one that tells nothing new writes no file."""
    measured = model.measured.per_device
    name = "runs" if measured.key in _ran_here else "first_runs"
    _ran_here.add(measured.key)
    runs = read_runs(measured.get(name))
    known = estimate(runs, computed)
    if known is not None and len(runs) >= _ENOUGH_RUNS:
        slower = seconds / known.middle
        if abs(slower - 1) <= _SAME_PACE or (slower > 1 and seconds < _SURE):
            return
    if computed >= _LEAST_TIMED:
        measured.put(**{name: kept(measured.get(name), computed, seconds)})


def estimate_seconds(
    model: Model | KnownModel, computed: int, *, timed: bool = False, progress: Progress = SILENT
) -> Estimate | None:
    """Estimate what a run of a network takes: from earlier ones, or timed on one small tile.

    Args:
        model: The network, loaded or as far as it is known.
        computed: Pixels that it computes, overlaps counted.
        timed: Time it where it is loaded and never ran here: up to a second or two.
        progress: Can stop that.

    Returns:
        None where nothing is known.

    Raises:
        CancelledError: The person asked to stop.
    """
    measured = model.measured.per_device
    names = ("runs", "first_runs") if measured.key in _ran_here else ("first_runs", "runs")
    for name in names:
        known = estimate(read_runs(measured.get(name)), computed)
        if known is not None:
            return known
    pace = measured.get("seconds_per_pixel")  # of 0.1.0, which kept the last run's alone
    if pace is None and timed and isinstance(model, Model):
        pace = _time_a_tile(model, progress)
        measured.put(seconds_per_pixel=pace)
    return None if pace is None else Estimate(*(float(pace) * computed * factor for factor in _PROBE))


def _time_a_tile(model: Model, progress: Progress) -> float:
    """Seconds that a pixel of one small tile takes."""
    constraint = size_constraint_of(model)
    small, large = (
        torch.full((1, model.facts.input_channels, side, side), 0.5, device=model.device)
        for side in (constraint.ceil(_SMALL), constraint.ceil(_TIMED))
    )
    with retain_malloc_pages(model.device), model.interruptible(progress):
        model(small)  # the first call prepares kernels
        times: list[float] = []
        # Other programs only ever make it slower: the best of three, unless that would make people wait.
        while len(times) < 3 and sum(times) < _TIMING:
            start = time.perf_counter()
            float(model(large).sum())
            times.append(time.perf_counter() - start)
        return min(times) / large.shape[2] ** 2
