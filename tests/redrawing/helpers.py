"""A painter for tests, and a redraw with a usual denoising strength."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.plan import PassPlan
from lib_upscale.redrawing.run import plan_and_redraw
from lib_upscale.redrawing.tiles.filters import Pixels

run = partial(plan_and_redraw, strength=0.4)


@dataclass
class FunctionPainter:
    """A painter that is a function of a job."""

    function: Callable[[TileJob], Pixels]
    native: int = 512
    multiple: int = 8

    def begin(self, step: PassPlan) -> None:
        """Nothing to prepare."""

    def batch_key(self, job: TileJob) -> Hashable:
        """Any tiles may share a batch."""
        return None

    def caption(self, pixels: Pixels, *, tags: bool = False) -> str:
        """No words."""
        return ""

    def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
        """The function's answer for each job."""
        return [self.function(job) for job in batch]

    def reduce_memory(self) -> bool:
        """Nothing is left to be done."""
        return False
