"""Runs a painter in batches, smaller ones when memory runs out, and validates its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lib_upscale.errors import OutOfMemoryError, UpscalePlusError
from lib_upscale.progress import Progress, check
from lib_upscale.redrawing.painter import Painter, TileJob
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.redrawing.tiles.order import batches

__all__ = ["BatchedPainter"]


class BatchedPainter:
    """A painter, and how many tiles it is given at once; fewer once memory has run out."""

    def __init__(self, painter: Painter, batch_size: int, progress: Progress) -> None:
        self._painter, self._progress = painter, progress
        self._batch_size = batch_size

    def paint(
        self, jobs: Sequence[TileJob], on_begin: Callable[[Sequence[TileJob]], None]
    ) -> Iterator[tuple[TileJob, Pixels]]:
        """Yield each job with its pixels, as soon as its batch is done.

        Args:
            jobs: The tiles.
            on_begin: Called with each batch before it is painted.

        Raises:
            CancelledError: The person asked to stop; between batches.
            UpscalePlusError: What the painter raises, and for values that are not numbers.
        """
        pending = list(jobs)
        while pending:
            check(self._progress)
            batch = next(batches(pending, self._batch_size, self._painter.batch_key))
            on_begin(batch)
            try:
                painted = self._painter.paint(batch)
            except OutOfMemoryError:
                if not self._reduce_memory():
                    raise
                continue
            yield from zip(batch, (_validate(p, job) for p, job in zip(painted, batch, strict=True)), strict=True)
            pending = pending[len(batch) :]

    def _reduce_memory(self) -> bool:
        """First one tile at a time, then whatever the painter can do; then the error is the user's."""
        if self._batch_size > 1:
            self._batch_size = 1
            return True
        return self._painter.reduce_memory()


def _validate(pixels: Pixels, job: TileJob) -> Pixels:
    painted = np.asarray(pixels, dtype=np.float32)
    if painted.shape != job.pixels.shape:
        raise ValueError(f"the painter returned {painted.shape} for a tile of {job.pixels.shape}")
    if not np.isfinite(painted).all():
        raise UpscalePlusError(
            f"The tile at {job.region.x}, {job.region.y} came back as values that are not numbers",
            "run the VAE, or the model, in full precision; models like Flux may need the schedule type Simple",
        )
    return painted
