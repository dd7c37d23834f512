"""One noise for the whole canvas, of which every tile gets its window.

So neighbors start from the same noise where they overlap, and a tile's noise does not depend on which tiles were
painted before it. That holds for the noise that ancestral samplers add at each step, and for Brownian noise, too.
All sizes here are in latent pixels; arrays are torch tensors (channels, height, width), or anything sliced alike.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.tiles.grid import LATENT

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BatchNoise", "BrownianNoise", "CanvasNoise", "latent_region", "replay"]

Draw = Callable[[], "Tensor"]
"""Gives the next noise of a canvas, (channels, height, width)."""


def latent_region(region: Region) -> Region:
    """Convert a region of the picture to latent pixels. Raises ValueError if it cuts a latent pixel."""
    if any(value % LATENT for value in (region.x, region.y, region.width, region.height)):
        raise ValueError(f"{region} does not lie at multiples of {LATENT} pixels")
    return Region(region.x // LATENT, region.y // LATENT, region.width // LATENT, region.height // LATENT)


class CanvasNoise:
    """The noise of the canvas for draw 0 (the first noise), 1, 2, ... (one for each step that adds noise).

    `make` gives the whole canvas for one draw and must give the same for the same number whenever it is asked. The
    draws used last are kept up to `keep_bytes`; others are made again.
    """

    def __init__(self, make: Callable[[int], Tensor], keep_bytes: int = 256 << 20) -> None:
        self._cache = _Cache(make, keep_bytes)

    def window(self, draw: int, region: Region) -> Tensor:
        """The noise of one tile, (channels, height, width)."""
        return _window(self._cache(draw), region)

    def windows(self, draw: int, regions: Sequence[Region]) -> Tensor:
        """The noise of a batch of equal tiles, (tiles, channels, height, width)."""
        return _stack(self._cache(draw), regions)

    def for_batch(self, regions: Sequence[Region]) -> BatchNoise:
        """The draws one after the other, as a sampler asks for them, for a batch of tiles."""
        return BatchNoise(self, tuple(regions))


class BatchNoise:
    """Replaces a sampler's random numbers while it paints a batch: each call is the next draw."""

    def __init__(self, canvas: CanvasNoise, regions: tuple[Region, ...]) -> None:
        self._canvas, self._regions, self._draw = canvas, regions, 0

    def first(self) -> Tensor:
        """The noise to start from; begins again at draw 0."""
        self._draw = 0
        return self.next()

    def next(self) -> Tensor:
        """The next draw, (tiles, channels, height, width)."""
        noise = self._canvas.windows(self._draw, self._regions)
        self._draw += 1
        return noise


def replay(start: Callable[[], Draw]) -> Callable[[int], Tensor]:
    """Number the draws of a generator that can only go forward; `start` gives a fresh one from the seed.

    For going back it is started again, so a canvas too large to keep every draw costs time, not memory.
    """
    advance: Draw | None = None
    position = 0

    def make(draw: int) -> Tensor:
        nonlocal advance, position
        if advance is None or draw < position:
            advance, position = start(), 0
        while position < draw:
            advance()
            position += 1
        position += 1
        return advance()

    return make


class BrownianNoise:
    """The Brownian motion of the canvas that SDE samplers ask for, between two noise levels.

    `between(sigma, sigma_next)` gives it for the whole canvas and must be a function of the two alone, as
    k-diffusion's BrownianTreeNoiseSampler with a fixed seed is.
    """

    def __init__(self, between: Callable[[float, float], Tensor], keep_bytes: int = 256 << 20) -> None:
        def make(levels: tuple[float, float]) -> Tensor:
            return between(*levels)

        self._cache = _Cache(make, keep_bytes)

    def windows(self, sigma: float, sigma_next: float, regions: Sequence[Region]) -> Tensor:
        """The noise between two levels for a batch of equal tiles, (tiles, channels, height, width)."""
        return _stack(self._cache((float(sigma), float(sigma_next))), regions)

    def for_batch(self, regions: Sequence[Region]) -> Callable[[float, float], Tensor]:
        """A noise sampler, as k-diffusion's samplers take it, for a batch of tiles."""
        return lambda sigma, sigma_next: self.windows(sigma, sigma_next, regions)


class _Cache:
    """Remembers what was made last, up to a number of bytes but always the last one."""

    def __init__(self, make: Callable[..., Tensor], limit: int) -> None:
        self._make, self._limit = make, limit
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def __call__(self, key: Hashable) -> Tensor:
        if key not in self._tensors:
            # Every tile asks in the same order, so once full only the newest goes: the older are needed sooner.
            tensor = self._make(key)
            size = tensor.element_size() * tensor.nelement()
            if self._tensors and (len(self._tensors) + 1) * size > self._limit:
                self._tensors.popitem()
            self._tensors[key] = tensor
        return self._tensors[key]


def _window(canvas: Tensor, region: Region) -> Tensor:
    if region.x < 0 or region.y < 0 or region.right > canvas.shape[-1] or region.bottom > canvas.shape[-2]:
        raise ValueError(f"{region} does not lie in a noise of {canvas.shape[-1]}x{canvas.shape[-2]}")
    return canvas[..., region.rows, region.columns]


def _stack(canvas: Tensor, regions: Sequence[Region]) -> Tensor:
    import torch

    return torch.stack([_window(canvas, region) for region in regions])
