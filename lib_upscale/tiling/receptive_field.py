"""The receptive field of a network: the radius beyond which a cut no longer changes a pixel by a level of 255.

Overlap is twice the radius, and the cut is hard on its midline: then the tiled result is the whole-image result. The
radius is known for some architectures and measured for the others. Networks with global operations (pooling, channel
attention) have none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lib_upscale.device import is_out_of_memory, release_memory
from lib_upscale.models.identity import NetworkFacts
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.spread import ceil_div
from lib_upscale.tiling.plan import SizeConstraint
from lib_upscale.tiling.run import TileFunction

__all__ = ["ReceptiveField", "error_by_distance", "known_receptive_field", "measure_receptive_field"]

_THRESHOLD = 0.75 / 255
"""The error that a cut may leave, so that rounding makes it one level at most."""

_MARGIN = 1.25
"""The radius is measured on three images only; others may need a little more. benchmarks/models.py shows
what error is left."""


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive radius of a network in source pixels, or None where the error of a cut does not fall away."""

    radius: int | None

    def overlap(self, tile: int) -> int:
        """Return what neighboring tiles must share, in pixels: twice the radius, or a wide quarter to feather over."""
        return 2 * self.radius if self.radius is not None else max(32, tile // 4)


_LEAST_SIDE, _MOST_SIDE = 96, 512
"""The smallest and the largest side, in pixels, of the images that it is measured on."""

_RADII: dict[tuple[str, str], int] = {
    # 18 convolutions of 3x3: all it can see. On some images 13 leave an error of two levels.
    ("Compact", "16nc"): 18,
    # Measured on published weights and portraits, some pixels added. They could see 22, 97 and 352; at 80 pixels
    # Real-ESRGAN x4plus still left three levels on the edge of hair.
    ("SPAN", ""): 14,
    ("ESRGAN", "6nb"): 54,
    ("ESRGAN", "23nb"): 96,
}

_GLOBAL = {
    # Channel attention, global pooling or transposed attention: every pixel depends on all others.
    *("DAT", "HAT", "RCAN", "NAFNet", "Restormer", "RealCUGAN", "KBNet", "MIRNet2", "MPRNet", "M3SNet", "DDColor"),
    *("RetinexFormer", "DITN", "OmniSR", "IPT", "AuraSR", "HVICIDNet", "FDAT", "FBCNN", "GRL", "LaMa"),
    *("EIMN", "GateRV2", "GateRV3", "LAWFFT", "GFISRV2", "FIGSR"),  # the last three by Fourier transforms
}


def known_receptive_field(facts: NetworkFacts, align: int) -> ReceptiveField | None:
    """Return the receptive field of an architecture from this library's table.

    Args:
        facts: What is known of the network.
        align: What its tiles are aligned to (`SizeConstraint.align`).

    Returns:
        None where it must be measured.
    """
    if facts.architecture in _GLOBAL:
        return ReceptiveField(None)
    if align > 1:  # an unshuffle in front of it multiplies the radius
        return None
    for tag in (*facts.tags, ""):
        if (facts.architecture, tag) in _RADII:
            return ReceptiveField(_RADII[facts.architecture, tag])
    return None


class ProbedFunction(TileFunction, Protocol):
    """A function that says how many channels it takes."""

    @property
    def facts(self) -> NetworkFacts:
        """What is known of the network."""


def measure_receptive_field(
    function: ProbedFunction, constraint: SizeConstraint, tile: int, progress: Progress = SILENT, seconds: float = 10.0
) -> ReceptiveField | None:
    """Measure the receptive field of a network.

    The network runs on an image and on the inner half of it. Where the two results differ, the cut is felt; the
    largest distance from the cut at which they do, on any of three images, and a quarter more, is the radius.

    Args:
        function: The network.
        constraint: What it demands of its tiles.
        tile: The side of a tile, in pixels.
        progress: Asked before each image whether to stop.
        seconds: How long it may take, unless one tile takes longer: then as long as that.

    Returns:
        None where time or memory are too short for it.

    Raises:
        CancelledError: The person asked to stop.
    """
    unit = 4 * constraint.align
    least = ceil_div(max(_LEAST_SIDE, 2 * constraint.minimum), unit) * unit
    side = _affordable(function, least, unit, tile, seconds)
    while side >= least:
        # The error is dealt with outside of its handler, whose traceback would keep the tensors alive.
        try:
            return _measure(function, side, progress)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release_memory(function.device)
        side = side // 2 // unit * unit
    return None


def _measure(function: ProbedFunction, side: int, progress: Progress) -> ReceptiveField:
    radii = []
    for image in _test_images(side, function.facts.input_channels):
        check(progress)
        radius = _radius(error_by_distance(function, image.to(function.device)))
        if radius is None:
            return ReceptiveField(None)
        radii.append(radius)
    return ReceptiveField(int(np.ceil(max(radii) * _MARGIN)) + 1)


def error_by_distance(function: TileFunction, image: torch.Tensor) -> NDArray[np.float64]:
    """Measure the error of a cut by the distance from it.

    Args:
        function: The network.
        image: 1CHW, 0..1, on its device; square, each side a multiple of four times the alignment of its tiles.

    Returns:
        The largest error at each distance from the border of the inner half, in source pixels; index 0 is the border.
    """
    side = image.shape[2]
    quarter, scale = side // 4, function.scale
    whole = function(image)[..., quarter * scale : (side - quarter) * scale, quarter * scale : (side - quarter) * scale]
    part = function(image[..., quarter : side - quarter, quarter : side - quarter].contiguous())
    error = (whole - part).abs().amax(dim=(0, 1)).double().cpu().numpy()
    inner = side - 2 * quarter
    ramp = np.minimum(np.arange(inner * scale) // scale, np.arange(inner * scale)[::-1] // scale)
    distance = np.minimum(ramp[:, None], ramp[None, :])
    return np.array([error[distance == d].max() for d in range(inner // 2)])


def _radius(errors: NDArray[np.float64]) -> int | None:
    """Return the first distance from which on no error exceeds the threshold, if there is clear room behind it."""
    above = np.flatnonzero(~(errors <= _THRESHOLD))
    radius = int(above[-1]) + 1 if len(above) else 0
    return radius if radius <= 0.8 * len(errors) else None


def _affordable(function: ProbedFunction, least: int, unit: int, tile: int, seconds: float) -> int:
    """Return the largest side whose three probes (whole and inner half) take no longer than allowed; 0 if none does."""
    sample = next(_test_images(least, function.facts.input_channels)).to(function.device)
    function(sample)
    start = time.perf_counter()
    float(function(sample).sum())
    per_pixel = (time.perf_counter() - start) / least**2
    allowed = max(seconds, per_pixel * tile * tile)
    fitting = [
        side
        for side in range(least, _MOST_SIDE + 1, unit)
        if 3 * 1.25 * side * side * per_pixel <= allowed and side <= 2 * max(tile, least)
    ]
    return max(fitting, default=0)


def _test_images(side: int, channels: int) -> Iterator[torch.Tensor]:
    """Yield images of texture (1/f noise), hard edges, and smooth shading under thin lines: 1CHW, 0..1."""
    random = np.random.default_rng(20)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    spectrum = np.fft.rfft2(random.standard_normal((channels, side, side))) / np.maximum(frequency, 1 / side)
    texture = np.fft.irfft2(spectrum, (side, side))
    texture = 0.5 + texture / (6 * texture.std())
    y, x = np.mgrid[:side, :side]
    blocks = random.random((channels, side // 12 + 1, side // 12 + 1)).repeat(12, 1).repeat(12, 2)[:, :side, :side]
    edges = np.where((x // 3 + y // 5) % 7 == 0, 1.0 - blocks, blocks)
    shading = 0.5 + 0.5 * np.sin(np.hypot(x - side / 3, y - side / 2) / 9)[None] * np.ones((channels, 1, 1))
    shading[:, (x + y) % 11 == 0] = 0
    for image in (texture, edges, shading):
        yield torch.from_numpy(np.clip(image, 0, 1)[None].astype(np.float32))
