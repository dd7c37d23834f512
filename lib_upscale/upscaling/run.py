"""A picture and settings in, a larger picture out: the one function behind every door of the project.

Networks run as often as the target needs, then one resample brings the exact size. No path returns a plain
resize in place of a network's result: whatever fails is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import AlphaMode, drop_alpha, flatten_hidden_color
from lib_upscale.image.channels import adapt_channels, restore_channels
from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import to_bits
from lib_upscale.image.padding import pad_or_crop
from lib_upscale.image.picture import Picture
from lib_upscale.image.resample import resample
from lib_upscale.image.target import MAX_PIXELS, Layout, layout
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.models.identity import NetworkFacts, TilingSupport
from lib_upscale.models.runtime.backends import accelerator
from lib_upscale.models.runtime.model_cache import Model, Models
from lib_upscale.progress import SILENT, Progress, Span, check
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.upscaling.network_pass import choose_tiling, run_pass, seconds_per_pixel

__all__ = ["NetworkPass", "UpscalePlan", "plan_upscale", "upscale"]

_MOST_PASSES = 8
"""Passes of one model. 2x eight times is 256x: more is a slip, not a wish."""

_RESAMPLE_SHARE = 0.03
"""How much of the progress the resample at the end takes."""


@dataclass(frozen=True)
class NetworkPass:
    """One run of one network."""

    entry: Entry
    given: Size
    """The size of the picture that it is given."""
    tiles: int | None = None
    """How many, or None: not known before the network is loaded."""
    computed_pixels: int = 0
    """Pixels that the network computes, overlaps counted; its given size where the tiles are not known."""
    seconds: float | None = None
    """About how long it takes, where that is known."""

    @property
    def facts(self) -> NetworkFacts:
        """What is known of the network."""
        assert self.entry.identity.network is not None, "the catalog finds networks only"
        return self.entry.identity.network

    @property
    def made(self) -> Size:
        """The size of its result."""
        return self.given.scaled(self.facts.scale)


@dataclass(frozen=True)
class UpscalePlan:
    """What `upscale` will do with a picture of a certain size."""

    source: Size
    passes: tuple[NetworkPass, ...]
    layout: Layout
    second: tuple[NetworkPass, ...] = ()
    """The passes whose result is blended in."""
    planes: int = 1
    """How often all of that runs: twice where the network makes the transparency as well."""

    @property
    def output(self) -> Size:
        """The exact size of the result."""
        return self.layout.final

    @property
    def tiles(self) -> int | None:
        """Tiles of all passes together, or None where not known yet."""
        counts = [each.tiles for each in (*self.passes, *self.second)]
        return None if None in counts else self.planes * sum(count or 0 for count in counts)

    @property
    def seconds(self) -> float | None:
        """About how long it takes, or None where not known yet."""
        times = [each.seconds for each in (*self.passes, *self.second)]
        return None if None in times else self.planes * sum(time or 0.0 for time in times)

    @property
    def computed_pixels(self) -> int:
        """Pixels that the networks compute, overlaps counted: what progress is measured by."""
        return self.planes * sum(each.computed_pixels for each in (*self.passes, *self.second))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know before it runs."""
        return tuple(self._remarks())

    def describe(self) -> str:
        """One line: sizes, networks, passes, tiles, and what should be known before."""
        names = ", then ".join(_counted(self.passes))
        if self.second:
            names += f", blended with {', then '.join(_counted(self.second))}"
        tiles = "" if self.tiles is None else f", {self.tiles} tile{'s' if self.tiles != 1 else ''}"
        return "; ".join([f"{self.source} -> {self.output}: {names}{tiles}", *self.remarks])

    def _remarks(self) -> Iterator[str]:
        made = self.passes[-1].made
        last = self.passes[-1].entry.name
        if made.width < self.layout.scaled.width or made.height < self.layout.scaled.height:
            if all(each.facts.scale == 1 for each in self.passes):
                yield f"{last} does not enlarge: the rest is resampling"
            else:
                yield f"from {made} on it is resampling"
        for each in {each.entry.name: each for each in (*self.passes, *self.second)}.values():
            if each.facts.tiling is TilingSupport.DISCOURAGED and each.tiles != 1:
                yield f"{each.entry.name} works best on the whole picture: its tiles are as large as memory allows"


def _counted(passes: tuple[NetworkPass, ...]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for each in passes:
        counts[each.entry.name] = counts.get(each.entry.name, 0) + 1
    facts = {each.entry.name: each.facts for each in passes}
    for name, count in counts.items():
        times = f", {count} passes" if count > 1 else ""
        yield f"{name} ({facts[name].architecture} x{facts[name].scale}{times})"


def plan_upscale(
    size: Size,
    settings: UpscaleSettings,
    models: Models,
    *,
    picture: Picture | None = None,
    load: bool = True,
    timed: bool = False,
) -> UpscalePlan:
    """What `upscale` will do with a picture of that size.

    Args:
        picture: the picture, if it is there: its transparency costs passes too.
        load: load the networks, so that tiles are known; without, only those that are loaded are counted.
        timed: estimate the time, which may cost a second for a network that never ran here.

    Raises:
        UnknownModelError, ModelFileError, SettingsError: why it can't be done.
    """
    chain = _Chain(size, settings, models)
    passes = tuple(_measured(each, settings, models, load, timed) for each in chain.passes)
    second = tuple(_measured(each, settings, models, load, timed) for each in chain.second)
    planes = 2 if picture is not None and _alpha_by_model(picture, settings) else 1
    return UpscalePlan(size, passes, chain.layout, second, planes)


def _measured(each: NetworkPass, settings: UpscaleSettings, models: Models, load: bool, timed: bool) -> NetworkPass:
    model = _load(each.entry, settings, models) if load else models.pool.loaded(each.entry.path)
    if model is None:
        return NetworkPass(each.entry, each.given, None, each.given.pixels)
    plan = choose_tiling(model, each.given, settings).plan(each.given)
    pace = seconds_per_pixel(model) if timed else model.noted("seconds_per_pixel")
    seconds = None if pace is None else float(pace) * plan.computed_pixels
    return NetworkPass(each.entry, each.given, len(plan), plan.computed_pixels, seconds)


class _Chain:
    """Which networks run on which sizes: before, the upscaler as often as needed, after."""

    def __init__(self, size: Size, settings: UpscaleSettings, models: Models) -> None:
        self._size, self._settings, self._models = size, settings, models
        self._before = [models.find(name) for name in settings.before]
        self._after = [models.find(name) for name in settings.after]
        main = models.find(settings.model)
        self.layout = self._layout(main)
        self.passes = self._passes(main)
        blend = settings.second_model and settings.second_weight > 0
        self.second = self._passes(models.find(settings.second_model)) if blend else []

    def _layout(self, main: Entry) -> Layout:
        target = self._settings.target
        if target is not None:
            return layout(self._size, target)
        own = self._size.scaled(_scale_of([*self._before, main, *self._after]))
        return Layout(own, own)

    def _passes(self, main: Entry) -> list[NetworkPass]:
        repeats = 1
        scale, rest = _scale_of([main]), _scale_of([*self._before, *self._after])
        wanted = self.layout.scaled
        while scale > 1 and repeats < _MOST_PASSES and not self._reached(wanted, rest * scale**repeats):
            repeats += 1
        passes: list[NetworkPass] = []
        size = self._size
        for entry in (*self._before, *[main] * repeats, *self._after):
            passes.append(NetworkPass(entry, size))
            size = passes[-1].made
            if size.pixels > MAX_PIXELS:
                raise SettingsError(
                    f"On the way to {wanted} the picture would have {size} pixels",
                    "use a model of a smaller scale, or a smaller target",
                )
        return passes

    def _reached(self, wanted: Size, factor: int) -> bool:
        return self._size.width * factor >= wanted.width and self._size.height * factor >= wanted.height


def _scale_of(entries: list[Entry]) -> int:
    product = 1
    for entry in entries:
        assert entry.identity.network is not None, "the catalog finds networks only"
        product *= entry.identity.network.scale
    return product


def _load(entry: Entry, settings: UpscaleSettings, models: Models) -> Model:
    backend = settings.backend.value
    return models.pool.get(entry.identity, settings.precision.value, backend, accelerator(backend, models.pool.device))


def upscale(picture: Picture, settings: UpscaleSettings, models: Models, progress: Progress = SILENT) -> Picture:
    """The picture made larger as the settings say, with its metadata, bits and transparency.

    Raises:
        UpscalePlusError: whatever prevents it, with what to do about it; nothing is ever silently resized.
        CancelledError: the person asked to stop; before the next tile.
    """
    check(progress)
    progress.report(0, "loading the model")
    job = plan_upscale(picture.size, settings, models, picture=picture)
    if settings.alpha is AlphaMode.DROP:
        picture = drop_alpha(picture)
    work = _Work(job, settings, models, progress)
    result = work.run(picture)
    progress.report(1, "done")
    return pad_or_crop(result, job.layout, settings.padding).with_metadata(picture.metadata)


def _alpha_by_model(picture: Picture, settings: UpscaleSettings) -> bool:
    return settings.alpha is AlphaMode.MODEL and picture.alpha is not None and not picture.opaque


class _Work:
    """One picture on its way through the passes of a job."""

    def __init__(self, job: UpscalePlan, settings: UpscaleSettings, models: Models, progress: Progress) -> None:
        self._job, self._settings, self._models = job, settings, models
        self._progress = progress
        self._share = (1 - _RESAMPLE_SHARE) / job.computed_pixels
        self._done = 0.0

    def run(self, picture: Picture) -> Picture:
        """The picture scaled to the size before framing."""
        pixels, alpha = picture.pixels, picture.alpha
        if alpha is not None and not picture.opaque:
            pixels = flatten_hidden_color(pixels, alpha)
        large = self._both(pixels, picture.bits)
        if alpha is None:
            return Picture(large, None, picture.metadata)
        size = self._job.layout.scaled
        if picture.opaque:
            opaque = np.broadcast_to(np.asarray(picture.levels, pixels.dtype), (size.height, size.width))
            return Picture(large, opaque, picture.metadata)
        if _alpha_by_model(picture, self._settings):
            return Picture(large, self._both(alpha[..., None], picture.bits)[..., 0], picture.metadata)
        return Picture(large, resample(alpha, size), picture.metadata)

    def _both(self, pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        """Through the first model's passes, the second's blended in."""
        first = self._through(self._job.passes, pixels, bits)
        if not self._job.second:
            return first
        second = self._through(self._job.second, pixels, bits)
        return _blended(first, second, self._settings.second_weight)

    def _through(self, passes: tuple[NetworkPass, ...], pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        wanted = self._job.layout.scaled
        for number, each in enumerate(passes):
            last = number == len(passes) - 1 and each.made == wanted and not self._job.second
            # What is worked on further is kept in 16 bits, so that it is rounded once.
            pixels = self._pass(each, pixels, bits if last else 16)
        if (pixels.shape[1], pixels.shape[0]) != tuple(wanted):
            span = Span(self._progress, self._done, self._done + _RESAMPLE_SHARE / self._job.planes)
            pixels = resample(pixels, wanted, progress=span)
        return to_bits(pixels, bits)

    def _pass(self, each: NetworkPass, pixels: NDArray[Any], bits: int) -> NDArray[Any]:
        model = _load(each.entry, self._settings, self._models)
        start, self._done = self._done, self._done + each.computed_pixels * self._share
        progress = Span(self._progress, start, self._done)
        made = run_pass(adapt_channels(pixels, model.facts.input_channels), model, self._settings, bits, progress)
        return restore_channels(made, to_bits(pixels, bits))


def _blended(first: NDArray[Any], second: NDArray[Any], weight: float) -> NDArray[Any]:
    result = np.empty_like(first)
    for start in range(0, len(first), 256):
        rows = slice(start, start + 256)
        result[rows] = np.rint(first[rows] * np.float32(1 - weight) + second[rows] * np.float32(weight))
    return result
