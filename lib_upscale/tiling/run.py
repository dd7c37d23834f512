"""Runs a function over the tiles of a picture: in batches, with a way down when memory runs out.

On out of memory first the batch is halved, then the area that is not done yet is planned anew with tiles
of half the side. Finished tiles stay. At the smallest tile the error says what was tried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.errors import OutOfMemoryError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.tiling.blender import Canvas, quantize
from lib_upscale.tiling.crop import cut
from lib_upscale.tiling.plan import Plan, SizeConstraint, Tile, plan_tiles, smallest_tile
from lib_upscale.tiling.transfer import transfer_for

__all__ = ["TileFunction", "TilingConfig", "TilingOutcome", "canvas_for", "run_tiles"]


class TileFunction(Protocol):
    """What is run over the tiles, usually a network."""

    @property
    def scale(self) -> int:
        """Output side over input side."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """NCHW, float32, 0..1, on `device`, to the same `scale` times as large."""

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        """Called once with a batch whose output held NaN or infinities: a finite output, or an error."""


@dataclass(frozen=True)
class TilingConfig:
    """How a picture is to be cut."""

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
        """The tiles of a picture of that size, or of a region of it. Raises `TileTooSmallError`."""
        return plan_tiles(size, self.tile, self.overlap, self.constraint, region)


@dataclass
class TilingOutcome:
    """What worked in the end, worth remembering for the next picture."""

    tile: int
    batch: int
    tried: list[int] = field(default_factory=list)
    """Tile sides for which memory ran out."""


def canvas_for(size: Size, function: TileFunction, tiling: TilingConfig, channels: int, bits: int) -> Canvas:
    """An empty canvas for the result of `run_tiles` on a picture of that size."""
    # A single tile may become several when memory runs out, so it is not asked here how many there are.
    feather = tiling.overlap * function.scale // 4 if tiling.feather else 0
    return Canvas(size.scaled(function.scale), channels, bits, feather)


def run_tiles(
    pixels: NDArray[Any],
    function: TileFunction,
    canvas: Canvas,
    tiling: TilingConfig,
    progress: Progress = SILENT,
) -> TilingOutcome:
    """Fill `canvas` with what `function` makes of `pixels` (height x width x channels, 8 or 16 bits).

    Raises:
        OutOfMemoryError: not even the smallest tile fits.
        CancelledError: the person asked to stop; before the next tile.
    """
    return _Run(pixels, function, canvas, tiling, progress).run()


class _Run:
    """One picture on its way over the tiles."""

    def __init__(
        self, pixels: NDArray[Any], function: TileFunction, canvas: Canvas, tiling: TilingConfig, progress: Progress
    ) -> None:
        self._pixels, self._function, self._canvas = pixels, function, canvas
        self._tiling, self._progress = tiling, progress
        self._size = Size(pixels.shape[1], pixels.shape[0])
        self._lane = transfer_for(function.device)
        self._used = TilingOutcome(tiling.tile, max(1, tiling.batch))
        self._pixels_done = 0

    def run(self) -> TilingOutcome:
        waiting = [Region.whole(self._size)]
        while waiting:
            plan = plan_tiles(
                self._size, self._used.tile, self._tiling.overlap, self._tiling.constraint, waiting.pop(0)
            )
            finished = self._plan(plan, last=not waiting)
            if finished < len(plan):
                waiting = [*_rest(plan, finished), *waiting]
                self._smaller(plan)
        self._canvas.finish_rows(self._canvas.size.height)
        return self._used

    def _plan(self, plan: Plan, last: bool) -> int:
        """Do the tiles of one plan; how many of them were finished before memory ran out, all if it did not."""
        finished = 0
        while finished < len(plan):
            # The error is dealt with outside of its handler, whose traceback would keep the tensors alive.
            done = self._batches(plan, finished)
            finished += done.finished
            if not done.out_of_memory:
                break
            release_memory(self._function.device)
            if self._used.batch == 1:
                break
            self._used.batch //= 2
        return finished

    def _batches(self, plan: Plan, start: int) -> _Done:
        """Do batches from tile `start` on until the end or until memory runs out."""
        done = _Done()
        in_flight: deque[tuple[list[Tile], Callable[[], None]]] = deque()

        def land() -> None:
            tiles, finish = in_flight.popleft()
            finish()
            done.finished += len(tiles)
            self._note(plan, start + done.finished, tiles)

        try:
            for tiles in _grouped(islice(iter(plan), start, None), self._used.batch):
                check(self._progress)
                in_flight.append((tiles, self._launch(plan, tiles)))
                # A device that computes on its own is given the next batch before the last one is awaited.
                if len(in_flight) > self._ahead:
                    land()
            while in_flight:
                land()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            done.out_of_memory = True
        return done

    @property
    def _ahead(self) -> int:
        return 1 if self._function.device.type == "cuda" else 0

    def _launch(self, plan: Plan, tiles: list[Tile]) -> Callable[[], None]:
        batch = self._lane.send([cut(self._pixels, tile.source, plan.tile_size) for tile in tiles])
        output = self._function(batch)
        finite = self._lane.fetch(torch.isfinite(output).all())
        result = self._lane.fetch(self._kept(output))

        def finish() -> None:
            values = result()
            if not bool(finite()):
                values = self._kept(self._function.recover(batch)).cpu()
            for tile, value in zip(tiles, values, strict=True):
                scale = self._function.scale
                self._canvas.put(tile.core.scaled(scale), tile.source.scaled(scale), value)

        return finish

    def _kept(self, output: torch.Tensor) -> torch.Tensor:
        """Whole levels where the canvas cuts hard: a quarter of what has to travel back."""
        return output if self._canvas.feather else quantize(output, self._canvas.bits)

    def _note(self, plan: Plan, count: int, tiles: list[Tile]) -> None:
        """The first `count` tiles of the plan are merged, `tiles` the last of them."""
        row = count // len(plan.columns)
        top = plan.rows[row].core[0] if row < len(plan.rows) else plan.region.bottom
        # Regions are done from the top down, so nothing to come begins above the row of the next tile.
        self._canvas.finish_rows(top * self._function.scale)
        self._pixels_done += sum(tile.core.size.pixels for tile in tiles)
        self._progress.report(self._pixels_done / self._size.pixels, f"tile {count} of {len(plan)}")

    def _smaller(self, plan: Plan) -> None:
        side = max(plan.tile_size)
        self._used.tried.append(side)
        constraint, overlap = self._tiling.constraint, self._tiling.overlap
        least = smallest_tile(overlap, constraint)
        if not self._tiling.divisible or side <= least:
            tried = ", ".join(str(tried) for tried in self._used.tried)
            raise OutOfMemoryError(
                f"Memory ran out on {self._function.device} even with one tile of {side} pixels (tried: {tried})",
                "close other programs, choose a lighter model, or compute on the CPU",
            )
        self._used.tile = max(least, side // 2)


@dataclass
class _Done:
    finished: int = 0
    out_of_memory: bool = False


def _rest(plan: Plan, finished: int) -> Iterator[Region]:
    """What is left of a plan whose first `finished` tiles are done: the rest of a row, then the rows below."""
    row, column = divmod(finished, len(plan.columns))
    if column:
        top, bottom = plan.rows[row].core
        yield Region.between(plan.columns[column].core[0], top, plan.region.right, bottom)
        row += 1
    if row < len(plan.rows):
        yield Region.between(plan.region.x, plan.rows[row].core[0], plan.region.right, plan.region.bottom)


def _grouped(tiles: Iterator[Tile], count: int) -> Iterator[list[Tile]]:
    while group := list(islice(tiles, count)):
        yield group
