"""Lays all that a redraw does on one progress: enlarging, the tiles of each pass, and the borders mended after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lib_upscale.progress import Progress, begin_part
from lib_upscale.redrawing.plan import PassPlan, RedrawPlan
from lib_upscale.redrawing.tiles.grid import Tile
from lib_upscale.redrawing.tiles.seams import borders

__all__ = ["WorkProgress"]

_BORDER_SHARE = 0.1
"""Work held ready for each border that may be mended, in tiles: few of them are, which is known once a pass is done."""


class WorkProgress:
    """Reports how far a redraw is. Work is counted in tiles.

    Args:
        progress: Hears of it.
        plan: What is done.
        tested: Number of a pass -> the tiles that are painted; None: all of them.
        enlarging: What enlarging the picture once costs, in tiles.
    """

    def __init__(
        self,
        progress: Progress,
        plan: RedrawPlan,
        tested: dict[int, frozenset[Tile]] | None = None,
        enlarging: float = 1.0,
    ) -> None:
        self._progress, self._plan, self._tested, self._enlarging = progress, plan, tested, enlarging
        again = enlarging if len(plan.passes) > 1 else 0.0
        self._total = again + sum(
            enlarging + self._tiles_of(step) + _BORDER_SHARE * self._borders_of(step) for step in plan.passes
        )
        self._done = 0.0
        self._step = plan.passes[0]
        self._number, self._words = 0, ""
        self._border, self._borders, self._end_of_borders = 0, 0, 0.0

    def _tiles_of(self, step: PassPlan) -> int:
        return len(step.grid.tiles) if self._tested is None else len(self._tested[step.number])

    def _borders_of(self, step: PassPlan) -> int:
        return len(list(borders(step.grid))) if self._plan.settings.seam_pass and self._tested is None else 0

    @contextmanager
    def enlarging(self, step: PassPlan) -> Iterator[None]:
        """The picture is enlarged for a pass while this lasts."""
        self._step, self._number = step, 0
        self._begin("upscaling", self._enlarging)
        yield
        self._done += self._enlarging

    def begin_tiles(self, tiles: Sequence[Tile]) -> None:
        """A batch of tiles is being painted."""
        self._begin(self._name(tiles[0]), len(tiles))

    def begin_caption(self) -> None:
        """What a tile shows is being described."""
        self._begin("describing what tiles show", 0.0)

    def finish_tile(self) -> None:
        """A tile is done, whether it was painted, taken from a journal or left as it was."""
        self._number += 1
        self._done += 1.0

    def begin_borders(self, count: int) -> None:
        """So many borders are going to be redrawn."""
        self._border, self._borders = 0, count
        self._end_of_borders = self._done + _BORDER_SHARE * self._borders_of(self._step)

    def begin_border(self, batch: int) -> None:
        """The next borders are being painted."""
        number = min(self._border + 1, self._borders)
        self._begin(f"border {number} of {self._borders}", batch * self._share_of_border())

    def finish_border(self) -> None:
        """A border is done."""
        self._done += self._share_of_border()
        self._border += 1

    def finish_pass(self) -> None:
        """All borders are done, or none had to be mended."""
        self._done = max(self._done, self._end_of_borders)
        self._progress.report(min(1.0, self._done / self._total))

    def finish(self) -> None:
        """All of it is done."""
        self._progress.report(1.0, self._words)

    def _share_of_border(self) -> float:
        left = self._borders - self._border
        return (self._end_of_borders - self._done) / left if left > 0 else 0.0

    def _begin(self, text: str, work: float) -> None:
        passes = len(self._plan.passes)
        self._words = f"pass {self._step.number + 1} of {passes}, {text}" if passes > 1 else text
        start, end = (min(1.0, done / self._total) for done in (self._done, self._done + work))
        begin_part(self._progress, start, self._words, end)

    def _name(self, tile: Tile) -> str:
        tiles = len(self._step.grid.tiles)
        if self._tested is not None:
            return f"test of tile {tile.index + 1} of {tiles}"
        if self._step.joint is not None:
            return "all tiles together"
        return f"tile {min(self._number + 1, tiles)} of {tiles}"
