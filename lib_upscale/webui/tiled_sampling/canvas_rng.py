"""Per-tile views of the host's random numbers for a whole canvas.

A sampler of the host takes random numbers in three ways: it asks `p.rng`, it asks the Brownian motion that its own
`create_noise_sampler` makes, and the VAE's encoder draws from its distribution. All three get windows here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.latent import BatchNoise, BrownianNoise, CanvasNoise, replay
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.sampling import distribution_modules, image_rng

__all__ = ["CanvasRandom", "Seeds", "TileRandom"]

_ENCODER = 0x5EED_0F_7A_E5
"""Sets the encoder's noise apart from the sampler's, which has the bare seed."""


@dataclass(frozen=True, eq=False)
class Seeds:
    """What the host makes the noise of one image from."""

    seed: int
    subseed: int = -1
    subseed_strength: float = 0.0
    resize_from_height: int = 0
    resize_from_width: int = 0
    encoder: Sequence[Tensor] = ()
    """What the VAE's encoder draws for the canvas, one time after the other, each of the latent's shape.

    It draws numbers of its own where there are no more.
    """


@dataclass
class CanvasRandom:
    """All random numbers of one pass over a canvas."""

    seeds: Seeds
    shape: tuple[int, ...]
    """That of the canvas's latent: (channels, height, width), or (channels, 1, height, width)."""
    _brownian: dict[tuple[float, float], BrownianNoise] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.noise = CanvasNoise(replay(self._start))
        self._encoder = CanvasNoise(self._encoder_noise)

    def for_batch(self, regions: Sequence[Region]) -> TileRandom:
        """The windows of a batch of tiles; `regions` are in latent pixels."""
        return TileRandom(self, tuple(regions), self.noise.for_batch(regions))

    def brownian(self, low: Tensor, high: Tensor, like: Tensor) -> BrownianNoise:
        """The Brownian motion of the canvas between two noise levels, as the host's own samplers make it for a tile."""
        from k_diffusion.sampling import BrownianTreeNoiseSampler

        key = (float(low), float(high))
        if key not in self._brownian:
            tree = BrownianTreeNoiseSampler(like.new_zeros((1, *self.shape)), low, high, seed=[self.seeds.seed])

            def between(sigma: float, sigma_next: float) -> Tensor:
                noise: Tensor = tree(torch.as_tensor(sigma), torch.as_tensor(sigma_next))[0]
                return noise

            self._brownian[key] = BrownianNoise(between)
        return self._brownian[key]

    def encoder_window(self, draw: int, region: Region) -> Tensor:
        """What the VAE's encoder draws for a tile, of the shape of its latent.

        Args:
            draw: How often it has drawn before: models for inpainting encode a second image, the masked one.
            region: The tile in latent pixels.
        """
        return self._encoder.window(draw, region)

    def _start(self) -> Callable[[], Tensor]:
        seeds = self.seeds
        resize_from = (seeds.resize_from_height, seeds.resize_from_width)
        return image_rng(self.shape, seeds.seed, seeds.subseed, seeds.subseed_strength, resize_from)

    def _encoder_noise(self, draw: int) -> Tensor:
        given = self.seeds.encoder[draw : draw + 1]
        if given and tuple(given[0].shape) == self.shape:
            return given[0]
        generator = torch.Generator().manual_seed((self.seeds.seed ^ _ENCODER ^ draw << 48) % 2**63)
        return torch.randn(self.shape, generator=generator)


class TileRandom:
    """The random numbers of one batch of tiles: what stands in for the host's `ImageRNG`, and the other two."""

    def __init__(self, canvas: CanvasRandom, regions: tuple[Region, ...], noise: BatchNoise) -> None:
        self._canvas, self._regions, self._noise = canvas, regions, noise
        self.shape = (*canvas.shape[:-2], regions[0].height, regions[0].width)
        self.seeds = [canvas.seeds.seed] * len(regions)
        self.is_first = True

    def close(self) -> None:
        """Let go of the canvas: the host's samplers keep this until the next generation."""
        del self._canvas, self._noise

    def first(self) -> Tensor:
        """The noise to start from: of each tile, of the shape of its latent."""
        self.is_first = False
        return self._noise.first()

    def next(self) -> Tensor:
        """The noise to start from, then that of each step which adds some."""
        self.is_first = False
        # The host may write into what it is given.
        return self._noise.next().clone()

    def create_noise_sampler(self, x: Tensor, sigmas: Tensor, p: object) -> Callable[..., Tensor]:
        """The noise of ancestral and SDE samplers, in place of the host sampler's method of that name."""
        canvas = self._canvas.brownian(sigmas[sigmas > 0].min(), sigmas.max(), x)
        return canvas.for_batch(self._regions)

    @contextmanager
    def in_encoder(self) -> Iterator[None]:
        """What the VAE's encoder draws while this lasts are the tiles' windows, one row after the other."""
        row = 0

        def randn(*shape: Any, **_: Any) -> Tensor | None:
            nonlocal row
            sides = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
            if tuple(sides[1:]) != self.shape:
                return None
            rows = [divmod(row + i, len(self._regions)) for i in range(sides[0])]
            row += sides[0]
            return torch.stack([self._canvas.encoder_window(draw, self._regions[i]) for draw, i in rows])

        with ExitStack() as stack:
            for module in distribution_modules():
                stack.enter_context(replaced(module, "torch", _Torch(randn)))
            yield


class _Torch:
    """torch but for `randn` and `randn_like`, as the host itself does it for its samplers."""

    def __init__(self, randn: Callable[..., Tensor | None]) -> None:
        self._randn = randn

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randn(self, *shape: Any, **options: Any) -> Tensor:
        """A window, or plain random numbers for a shape that is none of a tile's."""
        window = self._randn(*shape, **options)
        if window is None:
            return torch.randn(*shape, **options)
        return window.to(device=options.get("device"), dtype=options.get("dtype"))

    def randn_like(self, values: Tensor, **options: Any) -> Tensor:
        """The same of the shape, type and device of `values`: AUTOMATIC1111's Stable Diffusion 3 draws so."""
        window = self._randn(values.shape)
        return torch.randn_like(values, **options) if window is None else window.to(values)
