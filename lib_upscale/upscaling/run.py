"""Upscale an image: networks as often as the target needs, then one resample to the exact size.

No path returns a plain resize in place of a network's result: whatever fails is raised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import OutOfMemoryError
from lib_upscale.image.alpha import AlphaMode, clean_alpha, drop_alpha, flatten_hidden_color
from lib_upscale.image.channels import adapt_channels, restore_channels
from lib_upscale.image.levels import row_bands, to_bits
from lib_upscale.image.padding import pad_or_crop
from lib_upscale.image.picture import Picture
from lib_upscale.image.resampling import resample
from lib_upscale.models.library import Models
from lib_upscale.progress import SILENT, Progress, Span, check
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.network_pass import run_pass
from lib_upscale.upscaling.plan import (
    NetworkPass,
    UpscalePlan,
    complete_plan,
    load_model,
    makes_alpha,
    plan_upscale,
)

__all__ = ["UpscaleResult", "plan_and_upscale", "upscale"]

_RESAMPLE_SHARE = 0.03
"""How much of the progress the resamples at the end take."""

_RESAMPLE_REACH = 4
"""Pixels that the widest filter sees, one more added."""
_USUAL_REACH = 18
"""Pixels that a network sees of which it is not known: what a Compact network of 18 convolutions does."""


@dataclass(frozen=True)
class UpscaleResult:
    """What `upscale` gives."""

    picture: Picture
    """The image at the plan's exact size, with metadata, bits and transparency of the source."""
    plan: UpscalePlan
    """The plan that was carried out, all tiles known. Where memory ran out, with the tiles that worked in the end:
    to be used for the next image of that size."""


def upscale(picture: Picture, plan: UpscalePlan, models: Models, progress: Progress = SILENT) -> UpscaleResult:
    """Upscale an image as planned.

    Args:
        picture: An image of the size that the plan is for.
        plan: From `plan_upscale`. Passes without tiling get one now.
        models: What the plan was made with. The plan's networks stay loaded while it runs.
        progress: Hears how far it is, and can stop it.

    Raises:
        UpscalePlusError: Whatever prevents it, with what to do about it; nothing is ever silently resized.
        CancelledError: The person asked to stop; before the next tile.
        ValueError: The image has another size than the plan.
    """
    check(progress)
    progress.report(0)
    with models.cache.holding(plan.model_paths), _naming_memory(plan):
        plan = complete_plan(plan.for_picture(picture), models, progress=progress)
        if plan.settings.alpha is AlphaMode.DROP:
            picture = drop_alpha(picture)
        run = _PlanRun(plan, models, progress)
        scaled = run.scale(picture)
        progress.report(1, "done")
        result = pad_or_crop(scaled, plan.layout, plan.settings.padding).with_metadata(picture.metadata)
        return UpscaleResult(result, run.plan)


@contextmanager
def _naming_memory(plan: UpscalePlan) -> Iterator[None]:
    """Say in a sentence that memory ran out elsewhere than in a tile."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"The result of {plan.output} pixels does not fit into memory",
            "close other programs or set a smaller target",
        ) from error


def plan_and_upscale(
    picture: Picture, settings: UpscaleSettings, models: Models, progress: Progress = SILENT
) -> UpscaleResult:
    """Plan for one image and upscale it; arguments and errors are those of `plan_upscale` and `upscale`."""
    return upscale(picture, plan_upscale(picture.size, settings, models, load=False), models, progress)


class _PlanRun:
    """Takes one image through the passes of a plan."""

    def __init__(self, plan: UpscalePlan, models: Models, progress: Progress) -> None:
        self._plan, self._models = plan, models
        self._progress = progress
        self._work = (1 - _RESAMPLE_SHARE) / plan.planes / sum(map(plan.work, plan.all_passes))
        """Share of the progress for a unit of a pass's work."""
        self._resampling = _RESAMPLE_SHARE / plan.planes / (2 if plan.second else 1)
        self._done, self._number = 0.0, 0
        self._largest: dict[Path, int] = {}
        """By model, the tile that fitted after memory ran out."""

    @property
    def plan(self) -> UpscalePlan:
        """The plan with the tiles that worked."""
        return replace(
            self._plan, passes=self._limit_tiles(self._plan.passes), second=self._limit_tiles(self._plan.second)
        )

    def scale(self, picture: Picture) -> Picture:
        """Scale an image to the size before padding or cropping."""
        pixels, alpha = picture.pixels, picture.alpha
        if alpha is not None and not picture.opaque:
            pixels = flatten_hidden_color(pixels, alpha)
        large = self._blend_models(pixels, picture.bits)
        if alpha is None:
            return Picture(large, None, picture.metadata)
        if picture.opaque:
            size = self._plan.layout.scaled
            opaque = np.broadcast_to(np.asarray(picture.levels, pixels.dtype), (size.height, size.width))
            return Picture(large, opaque, picture.metadata)
        if makes_alpha(picture, self._plan.settings):
            made = self._blend_models(alpha[..., None], picture.bits)[..., 0]
            return Picture(large, clean_alpha(made, alpha, self._reach()), picture.metadata)
        return Picture(large, self._resample(alpha), picture.metadata)

    def _reach(self) -> int:
        """How far the networks see, and the resample after them, in pixels of the source."""
        return _RESAMPLE_REACH + max(map(self._reach_of, (self._plan.passes, self._plan.second)))

    def _reach_of(self, passes: tuple[NetworkPass, ...]) -> int:
        reach = 0.0
        for network_pass in passes:
            overlap = network_pass.tiling.overlap if network_pass.tiling is not None else 0
            # Tiles share twice what the network sees; without an overlap that is not known.
            sees = overlap / 2 or _USUAL_REACH
            reach += sees * self._plan.source.width / network_pass.input_size.width
        return math.ceil(reach)

    def _blend_models(self, pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        """Run the first model's passes, and blend the second's in."""
        first = self._run_passes(self._plan.passes, pixels, bits)
        if not self._plan.second:
            return first
        second = self._run_passes(self._plan.second, pixels, bits)
        return _blend(first, second, self._plan.settings.second_weight)

    def _run_passes(self, passes: tuple[NetworkPass, ...], pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        target = self._plan.layout.scaled
        for number, network_pass in enumerate(passes, 1):
            last = number == len(passes) and network_pass.output_size == target and not self._plan.second
            # What is worked on further is kept in 16 bits, so that it is rounded once.
            pixels = self._run_pass(network_pass, pixels, bits if last else 16)
        if (pixels.shape[1], pixels.shape[0]) != tuple(target):
            start, self._done = self._done, min(1.0, self._done + self._resampling)
            pixels = self._resample(pixels, Span(self._progress, start, self._done))
        return to_bits(pixels, bits)

    def _resample(self, pixels: NDArray[Any], progress: Progress = SILENT) -> NDArray[Any]:
        """Bring pixels to the size before padding or cropping."""
        return resample(pixels, self._plan.layout.scaled, self._plan.settings.resize_filter.value, progress=progress)

    def _run_pass(self, network_pass: NetworkPass, pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        start, self._done = self._done, self._done + self._plan.work(network_pass) * self._work
        self._number += 1
        (network_pass,) = self._limit_tiles([network_pass])
        assert network_pass.tiling is not None, "the plan was completed"
        count = self._plan.planes * len(self._plan.all_passes)
        name = f"pass {self._number} of {count}" if count > 1 else ""
        seconds = None if network_pass.seconds is None else network_pass.seconds.middle
        progress = Span(self._progress, start, self._done, name, seconds)
        model = load_model(network_pass.entry, self._plan.settings, self._models, progress)
        adapted = adapt_channels(pixels, model.facts.input_channels)
        output, outcome = run_pass(adapted, model, network_pass.tiling, bits, progress)
        if outcome.tried:
            self._largest[network_pass.entry.path] = outcome.tile
        return restore_channels(output, to_bits(pixels, bits))

    def _limit_tiles(self, passes: Iterable[NetworkPass]) -> tuple[NetworkPass, ...]:
        """The passes with tiles no larger than what fitted before."""

        def limit(network_pass: NetworkPass) -> NetworkPass:
            largest = self._largest.get(network_pass.entry.path)
            if largest is None or network_pass.tiling is None:
                return network_pass
            return replace(network_pass, tiling=network_pass.tiling.limited(largest))

        return tuple(map(limit, passes))


def _blend(first: NDArray[Any], second: NDArray[Any], weight: float) -> NDArray[Any]:
    result = np.empty_like(first)
    for rows in row_bands(len(first)):
        result[rows] = np.rint(first[rows] * np.float32(1 - weight) + second[rows] * np.float32(weight))
    return result
