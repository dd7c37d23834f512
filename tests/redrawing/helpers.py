"""Painters, images and an upscaler for tests, and a redraw with a usual denoising strength."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.plan import PassPlan
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.run import plan_and_redraw
from lib_upscale.redrawing.tiles.filters import Pixels, gaussian, resize

run = partial(plan_and_redraw, strength=0.4)
FIELD = np.random.default_rng(5).standard_normal((100, 100, 1)).astype(np.float32)


class Killed(Exception):
    """Stands for a process that ends in the middle."""


def enlarge(pixels: Pixels, size: Size) -> Pixels:
    return np.dstack([resize(pixels[:, :, c], size) for c in range(3)])


def picture(seed: int, width: int, height: int, **more: object) -> RedrawPicture:
    pixels = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    return RedrawPicture(pixels, **more)  # type: ignore[arg-type]


def unchanged(job: TileJob) -> Pixels:
    return job.pixels


def noisy(job: TileJob) -> Pixels:
    """Like a host: the job's window of a noise of the whole canvas, and something of the tile as a whole."""
    window = np.kron(FIELD[job.noise.rows, job.noise.columns], np.ones((8, 8, 1), np.float32))
    own = np.sin(job.pixels.mean() * 1000 + np.arange(job.region.width))[None, :, None]
    painted = gaussian(job.pixels, 1.0) + job.strength * (0.05 * window + 0.02 * own)
    return np.clip(painted, 0, 1).astype(np.float32)


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


class Counting(FunctionPainter):
    """Paints as `noisy`, counts, and dies or asks to stop after so many tiles."""

    def __init__(self, die_after: int = 10**9) -> None:
        super().__init__(noisy)
        self.names: list[str] = []
        self._die_after = die_after

    def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
        if len(self.names) + len(batch) > self._die_after:
            raise Killed
        self.names += [job.name for job in batch]
        return super().paint(batch)
