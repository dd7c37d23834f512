"""Runs a function over the tiles of an image: in batches, with smaller tiles when memory runs out.

On out of memory first the batch is halved, then the area that is not done yet is planned anew with tiles of half the
side. Finished tiles stay. At the smallest tile the error says what was tried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, begin_part, check
from lib_upscale.tiling.blender import TileBlender, quantize
from lib_upscale.tiling.crop import crop_tile
from lib_upscale.tiling.plan import Plan, SizeConstraint, Tile, plan_tiles, smallest_tile
from lib_upscale.tiling.transfer import transfer_for

__all__ = ["TileFunction", "TilingConfig", "TilingOutcome", "blender_for", "run_tiles"]


class TileFunction(Protocol):
    """What runs over the tiles, usually a network."""

    @property
    def scale(self) -> int:
        """Output side over input side."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Compute a batch.

        Args:
            batch: NCHW, float32, 0..1, on `device`.

        Returns:
            NCHW, float32, on `device`, with sides `scale` times as long.
        """

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        """Compute a batch again whose output held NaN or infinities: return a finite output, or raise."""


@dataclass(frozen=True)
class TilingConfig:
    """How an image is tiled."""

    tile: int
    """Longest side of a tile's source, overlap included, in source pixels."""
    overlap: int
    """What neighboring tiles share, in source pixels."""
    feather: bool = False
    """Cross-fade over the inner half of the overlap instead of cutting on its midline."""
    constraint: SizeConstraint = SizeConstraint()
    batch: int = 1
    """How many tiles the function is given at once, at most."""
    divisible: bool = True
    """Whether tiles may be made smaller than asked for when memory runs out."""

    def plan(self, size: Size, region: Region | None = None) -> Plan:
        """Return the tiles of an image of that size, or of a region of it.

        Raises:
            TileTooSmallError: More than one tile is needed and `tile` leaves too small a core.
        """
        return plan_tiles(size, self.tile, self.overlap, self.constraint, region)

    def limited(self, tile: int) -> TilingConfig:
        """Return the same with tiles of at most that side, or as near to it as the overlap allows."""
        return replace(self, tile=min(self.tile, max(tile, smallest_tile(self.overlap, self.constraint))))


@dataclass
class TilingOutcome:
    """What worked in the end: worth remembering for the next image."""

    tile: int
    """Longest side of a tile's source, in source pixels."""
    batch: int
    """How many tiles the function was given at once."""
    tried: list[int] = field(default_factory=list)
    """Tile sides for which memory ran out."""


def blender_for(size: Size, function: TileFunction, tiling: TilingConfig, channels: int, bits: int) -> TileBlender:
    """Return what merges the result of `run_tiles`.

    Args:
        size: Of the source image, in pixels.
        function: What will run over its tiles.
        tiling: How the image is tiled.
        channels: How many the function gives.
        bits: 8 or 16, what is kept of each value.
    """
    # A single tile may become several when memory runs out, so it is not asked here how many there are.
    feather = tiling.overlap * function.scale // 4 if tiling.feather else 0
    return TileBlender(size.scaled(function.scale), channels, bits, feather)


def run_tiles(
    pixels: NDArray[Any],
    function: TileFunction,
    blender: TileBlender,
    tiling: TilingConfig,
    progress: Progress = SILENT,
) -> TilingOutcome:
    """Run a function over an image by tiles.

    Args:
        pixels: Height x width x channels, uint8 or uint16.
        function: What runs over the tiles.
        blender: From `blender_for`; holds the result at the end.
        tiling: How the image is tiled.
        progress: Hears of every tile, and can stop before the next one.

    Returns:
        Which tiles worked in the end.

    Raises:
        OutOfMemoryError: Not even the smallest tile fits.
        CancelledError: The person asked to stop.
    """
    return _TileRun(pixels, function, blender, tiling, progress).run()


@dataclass
class _Batches:
    """How far a series of batches came."""

    finished: int = 0
    """Tiles that are merged."""
    out_of_memory: bool = False


class _TileRun:
    """Runs a function over one image."""

    def __init__(
        self,
        pixels: NDArray[Any],
        function: TileFunction,
        blender: TileBlender,
        tiling: TilingConfig,
        progress: Progress,
    ) -> None:
        self._pixels, self._function, self._blender = pixels, function, blender
        self._tiling, self._progress = tiling, progress
        self._size = Size(pixels.shape[1], pixels.shape[0])
        self._transfer = transfer_for(function.device)
        self._outcome = TilingOutcome(tiling.tile, max(1, tiling.batch))
        self._pixels_done = 0

    def run(self) -> TilingOutcome:
        pending = [Region.whole(self._size)]
        while pending:
            region = pending.pop(0)
            plan = plan_tiles(self._size, self._outcome.tile, self._tiling.overlap, self._tiling.constraint, region)
            finished = self._run_plan(plan)
            if finished < len(plan):
                pending = [*_unfinished(plan, finished), *pending]
                self._choose_smaller_tile(plan)
        self._blender.finish_rows(self._blender.size.height)
        return self._outcome

    def _run_plan(self, plan: Plan) -> int:
        """Run the tiles of a plan; return how many were finished before memory ran out, all if it did not."""
        finished = 0
        while finished < len(plan):
            self._announce(plan, finished)
            # The error is dealt with outside of its handler, whose traceback would keep the tensors alive.
            batches = self._run_batches(plan, finished)
            finished += batches.finished
            if not batches.out_of_memory:
                break
            release_memory(self._function.device)
            if self._outcome.batch == 1:
                break
            self._outcome.batch //= 2
        return finished

    def _run_batches(self, plan: Plan, start: int) -> _Batches:
        """Run batches from tile `start` on until the end or until memory runs out."""
        result = _Batches()
        in_flight: deque[tuple[list[Tile], Callable[[], None]]] = deque()

        def complete_oldest() -> None:
            tiles, finish = in_flight.popleft()
            finish()
            result.finished += len(tiles)
            self._report(plan, start + result.finished, tiles)

        try:
            for tiles in _group(islice(iter(plan), start, None), self._outcome.batch):
                check(self._progress)
                in_flight.append((tiles, self._submit(plan, tiles)))
                # A device that computes on its own is given the next batch before the last one is awaited.
                if len(in_flight) > self._ahead:
                    complete_oldest()
            while in_flight:
                complete_oldest()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            result.out_of_memory = True
        return result

    @property
    def _ahead(self) -> int:
        return 1 if self._function.device.type == "cuda" else 0

    def _submit(self, plan: Plan, tiles: list[Tile]) -> Callable[[], None]:
        """Start one batch; what is returned waits for it and merges it."""
        batch = self._transfer.upload([crop_tile(self._pixels, tile.source, plan.tile_size) for tile in tiles])
        output = self._function(batch)
        finite = self._transfer.download(torch.isfinite(output).all())
        result = self._transfer.download(self._reduce(output))

        def finish() -> None:
            values = result()
            if not bool(finite()):
                values = self._reduce(self._function.recover(batch)).cpu()
            for tile, value in zip(tiles, values, strict=True):
                scale = self._function.scale
                self._blender.put(tile.core.scaled(scale), tile.source.scaled(scale), value)

        return finish

    def _reduce(self, output: torch.Tensor) -> torch.Tensor:
        """Round to whole levels where cuts are hard: a quarter of the bytes to download."""
        return output if self._blender.feather else quantize(output, self._blender.bits)

    def _report(self, plan: Plan, count: int, tiles: list[Tile]) -> None:
        """Take note that the first `count` tiles of the plan are merged, `tiles` the last of them."""
        row = count // len(plan.columns)
        top = plan.rows[row].core[0] if row < len(plan.rows) else plan.region.bottom
        # Regions are done from the top down, so nothing to come begins above the row of the next tile.
        self._blender.finish_rows(top * self._function.scale)
        self._pixels_done += sum(tile.core.size.pixels for tile in tiles)
        self._announce(plan, count)

    def _announce(self, plan: Plan, finished: int) -> None:
        """Say that the next batch is being computed, after so many tiles of the plan."""
        batch = [plan[number] for number in range(finished, min(finished + self._outcome.batch, len(plan)))]
        done = self._pixels_done / self._size.pixels
        share = sum(tile.core.size.pixels for tile in batch) / self._size.pixels
        number = min(finished + 1, len(plan))
        begin_part(self._progress, done, f"tile {number} of {len(plan)}", done + share)

    def _choose_smaller_tile(self, plan: Plan) -> None:
        side = max(plan.tile_size)
        self._outcome.tried.append(side)
        constraint, overlap = self._tiling.constraint, self._tiling.overlap
        least = smallest_tile(overlap, constraint)
        if not self._tiling.divisible or side <= least:
            tried = ", ".join(str(tried) for tried in self._outcome.tried)
            raise OutOfMemoryError(
                f"Memory ran out on {self._function.device} even with one tile of {side} pixels (tried: {tried})",
                "close other programs, choose a lighter model, or compute on the CPU",
            )
        self._outcome.tile = max(least, side // 2)


def _unfinished(plan: Plan, finished: int) -> Iterator[Region]:
    """Yield what is left of a plan whose first `finished` tiles are done: the rest of a row, then the rows below."""
    row, column = divmod(finished, len(plan.columns))
    if column:
        top, bottom = plan.rows[row].core
        yield Region.between(plan.columns[column].core[0], top, plan.region.right, bottom)
        row += 1
    if row < len(plan.rows):
        yield Region.between(plan.region.x, plan.rows[row].core[0], plan.region.right, plan.region.bottom)


def _group(tiles: Iterator[Tile], count: int) -> Iterator[list[Tile]]:
    while group := list(islice(tiles, count)):
        yield group
