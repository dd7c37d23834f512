"""The picture of one pass while it is redrawn: the enlarged source, and the tiles that are finished.

Finished tiles are kept in 16 bits, in memory and in the journal alike: so a resumed run continues from the very same
numbers, and a tile takes half the memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.levels import to_floats
from lib_upscale.redrawing.tiles.blending import assemble, weights
from lib_upscale.redrawing.tiles.filters import Pixels, Plane, reflect_pad
from lib_upscale.redrawing.tiles.grid import Grid, Tile
from lib_upscale.settings.redraw import Blend

__all__ = ["Canvas"]


class Canvas:
    """One pass: `source` is the enlarged picture (height, width, 3), `mask` (height, width) or None."""

    def __init__(self, grid: Grid, source: Pixels, mask: Plane | None) -> None:
        self.grid = grid
        self._size = Size(source.shape[1], source.shape[0])
        self._source = reflect_pad(source, grid.canvas)
        self._mask = None if mask is None else reflect_pad(mask, grid.canvas)
        self._finished: dict[int, NDArray[np.uint16]] = {}
        self._across, self._down = weights(grid.across), weights(grid.down)

    def source(self, region: Region) -> Pixels:
        """Return the enlarged picture there, before any redraw. A view."""
        return self._source[region.rows, region.columns]

    def mask(self, region: Region) -> Plane | None:
        """Return how far the pixels there are to be redrawn, 0..1; None: all of them."""
        return None if self._mask is None else self._mask[region.rows, region.columns]

    def finish(self, tile: Tile, levels: NDArray[np.uint16]) -> None:
        """Keep a finished tile, (height, width, 3)."""
        self._finished[tile.index] = levels

    def seen_by(self, tile: Tile) -> Pixels:
        """Return the source under a tile with finished neighbors cross-faded in: what it sees in sequential mode."""
        visible: Pixels = self.source(tile.region).copy()
        for other in self.grid.around(tile):
            if (levels := self._finished.get(other.index)) is None:
                continue
            shared = other.region.intersection(tile.region)
            if shared is not None:
                change = self._part(levels, other, shared) - self.source(shared)
                here = shared.moved(-tile.region.x, -tile.region.y)
                visible[here.rows, here.columns] += self._weight(other, shared) * change
        return visible

    def _part(self, levels: NDArray[np.uint16], tile: Tile, region: Region) -> Pixels:
        inside = region.moved(-tile.region.x, -tile.region.y)
        return to_floats(levels[inside.rows, inside.columns])

    def _weight(self, tile: Tile, region: Region) -> NDArray[np.float32]:
        inside = region.moved(-self.grid.area.x, -self.grid.area.y)
        across = self._across[tile.column, inside.columns]
        down = self._down[tile.row, inside.rows]
        return np.asarray(down[:, None, None] * across[None, :, None], dtype=np.float32)

    def merged(self, blend: Blend) -> Pixels:
        """Merge all finished tiles, with the source where there is none: the whole canvas, (height, width, 3)."""
        area = self.grid.area
        canvas: Pixels = self._source.copy()
        if self._finished:
            canvas[area.rows, area.columns] = assemble(self.grid, self._current, blend)
        return canvas

    def _current(self, tile: Tile) -> Pixels:
        levels = self._finished.get(tile.index)
        return self.source(tile.region) if levels is None else to_floats(levels)

    def cropped(self, canvas: Pixels) -> Pixels:
        """Cut off what was reflected to fill the canvas. A view."""
        return canvas[: self._size.height, : self._size.width]
