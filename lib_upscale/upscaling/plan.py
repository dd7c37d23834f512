"""The plan of an upscale: which networks run on which sizes, with which tiles, and the exact size of the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lib_upscale.errors import SettingsError
from lib_upscale.estimate import NOTHING, Estimate
from lib_upscale.image.alpha import AlphaMode
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.image.target import MAX_PIXELS, Layout, layout
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.models.identity import NetworkFacts, TilingSupport
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.backends import accelerator
from lib_upscale.models.runtime.known_model import KnownModel, NotMeasuredError
from lib_upscale.models.runtime.model import Model
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.tiling.run import TilingConfig
from lib_upscale.upscaling.network_pass import choose_tiling, estimate_seconds

__all__ = ["NetworkPass", "UpscalePlan", "complete_plan", "load_model", "makes_alpha", "plan_upscale", "recall_plan"]

_MOST_PASSES = 8
"""Passes of one model. 2x eight times is 256x: more is a slip."""


@dataclass(frozen=True)
class NetworkPass:
    """One run of one network."""

    entry: Entry
    """The model."""
    input_size: Size
    """The size of the image that goes in."""
    tiling: TilingConfig | None = None
    """How that image is tiled, or None: not known before the network is loaded."""
    seconds: Estimate | None = None
    """About how long it takes, where that is known."""
    note: str = ""
    """What a person should know of how it computes, or ""."""

    @property
    def facts(self) -> NetworkFacts:
        """What is known of the network."""
        assert self.entry.identity.network is not None, "the catalog finds networks only"
        return self.entry.identity.network

    @property
    def output_size(self) -> Size:
        """The size of its result."""
        return self.input_size.scaled(self.facts.scale)

    @property
    def tiles(self) -> int | None:
        """How many tiles there are, or None where the tiling is not known."""
        return None if self.tiling is None else len(self.tiling.plan(self.input_size))

    @property
    def computed_pixels(self) -> int:
        """Pixels that the network computes, overlaps counted; its input's where the tiling is not known."""
        return self.input_size.pixels if self.tiling is None else self.tiling.plan(self.input_size).computed_pixels


@dataclass(frozen=True)
class UpscalePlan:
    """What `upscale` does with an image of a certain size."""

    source: Size
    """The size of the image."""
    settings: UpscaleSettings
    """What the plan was made from."""
    passes: tuple[NetworkPass, ...]
    """The networks in the order in which they run."""
    layout: Layout
    """From the last pass's result to the exact size."""
    second: tuple[NetworkPass, ...] = ()
    """The passes whose result is blended in."""
    planes: int = 1
    """How often all of that runs: twice where the network makes the transparency as well."""

    @property
    def output(self) -> Size:
        """The exact size of the result."""
        return self.layout.final

    @property
    def all_passes(self) -> tuple[NetworkPass, ...]:
        """All passes, those that are blended in last."""
        return (*self.passes, *self.second)

    @property
    def complete(self) -> bool:
        """Whether the tiles of all passes are known."""
        return all(network_pass.tiling is not None for network_pass in self.all_passes)

    @property
    def model_paths(self) -> frozenset[Path]:
        """The files of the networks that run."""
        return frozenset(network_pass.entry.path for network_pass in self.all_passes)

    @property
    def tiles(self) -> int | None:
        """Tiles of all passes together, or None where not known yet."""
        counts = [network_pass.tiles for network_pass in self.all_passes]
        return None if None in counts else self.planes * sum(count or 0 for count in counts)

    @property
    def seconds(self) -> Estimate | None:
        """About how long it takes, or None where not known yet."""
        times = [network_pass.seconds for network_pass in self.all_passes]
        known = [time for time in times if time is not None]
        return sum(known, NOTHING) * self.planes if len(known) == len(times) else None

    def work(self, network_pass: NetworkPass) -> float:
        """Return what progress counts for a pass: its seconds where those of all are known, else its pixels."""
        seconds = network_pass.seconds
        return network_pass.computed_pixels if self.seconds is None or seconds is None else seconds.middle

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know before it runs."""
        return tuple(self._remarks())

    def describe(self) -> str:
        """Say in one line: sizes, networks, passes, tiles, and what should be known before."""
        names = ", then ".join(_count_by_name(self.passes))
        if self.second:
            names += f", blended with {', then '.join(_count_by_name(self.second))}"
        tiles = "" if self.tiles is None else f", {self.tiles} tile{'s' if self.tiles != 1 else ''}"
        return "; ".join([f"{self.source} -> {self.output}: {names}{tiles}", *self.remarks])

    def for_picture(self, picture: Picture) -> UpscalePlan:
        """Return the plan for one image of that size: its transparency may cost passes too.

        Raises:
            ValueError: The image has another size.
        """
        if picture.size != self.source:
            raise ValueError(f"the plan is for an image of {self.source}, not of {picture.size}")
        return replace(self, planes=2 if makes_alpha(picture, self.settings) else 1)

    def _remarks(self) -> Iterator[str]:
        last = self.passes[-1]
        reached, scaled = last.output_size, self.layout.scaled
        if reached.width < scaled.width or reached.height < scaled.height:
            if all(network_pass.facts.scale == 1 for network_pass in self.passes):
                yield f"{last.entry.name} does not enlarge: the rest is resampling"
            else:
                yield f"from {reached} on it is resampling"
        for network_pass in {network_pass.entry.name: network_pass for network_pass in self.all_passes}.values():
            if network_pass.facts.tiling is TilingSupport.DISCOURAGED and network_pass.tiles != 1:
                name = network_pass.entry.name
                yield f"{name} works best on the whole image: its tiles are as large as memory allows"
            if network_pass.note:
                yield network_pass.note


def _count_by_name(passes: tuple[NetworkPass, ...]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for network_pass in passes:
        counts[network_pass.entry.name] = counts.get(network_pass.entry.name, 0) + 1
    facts = {network_pass.entry.name: network_pass.facts for network_pass in passes}
    for name, count in counts.items():
        times = f", {count} passes" if count > 1 else ""
        yield f"{name} ({facts[name].architecture_name} {facts[name].scale}x{times})"


def makes_alpha(picture: Picture, settings: UpscaleSettings) -> bool:
    """Return whether the networks run over the image's transparency as well."""
    return settings.alpha is AlphaMode.MODEL and picture.alpha is not None and not picture.opaque


def plan_upscale(
    size: Size,
    settings: UpscaleSettings,
    models: Models,
    *,
    picture: Picture | None = None,
    load: bool = True,
    timed: bool = False,
    progress: Progress = SILENT,
) -> UpscalePlan:
    """Plan what `upscale` does with an image of that size.

    Args:
        size: The image's size, in pixels.
        settings: How to upscale it.
        models: Where the settings' models are.
        picture: The image, if it is there: its transparency costs passes too.
        load: Load the networks, so that tiles are known. Without, nothing is computed, and the passes have no tiling:
            `upscale` completes such a plan.
        timed: Estimate the time, which may cost a second for a network that never ran here.
        progress: Hears what is loaded and measured, and can stop it.

    Raises:
        UnknownModelError: There is no model of a name in the settings.
        ModelFileError: A model's file can't be used.
        SettingsError: The settings can't be carried out.
        CancelledError: The person asked to stop.
    """
    chain = _Chain(size, settings, models)
    plan = UpscalePlan(size, settings, tuple(chain.passes), chain.layout, tuple(chain.second))
    if picture is not None:
        plan = plan.for_picture(picture)
    return complete_plan(plan, models, timed=timed, progress=progress) if load else plan


def complete_plan(
    plan: UpscalePlan, models: Models, *, timed: bool = False, progress: Progress = SILENT
) -> UpscalePlan:
    """Load the networks of a plan and choose the tiles of those passes that have none yet.

    Arguments and errors are those of `plan_upscale`.
    """

    def complete(network_pass: NetworkPass) -> NetworkPass:
        if network_pass.tiling is not None and not timed:
            return network_pass
        model = load_model(network_pass.entry, plan.settings, models, progress)
        return _with_tiling(network_pass, model, plan.settings, progress, timed=timed)

    with models.cache.holding(plan.model_paths):
        return replace(plan, passes=tuple(map(complete, plan.passes)), second=tuple(map(complete, plan.second)))


def _with_tiling(
    network_pass: NetworkPass,
    model: Model | KnownModel,
    settings: UpscaleSettings,
    progress: Progress = SILENT,
    *,
    timed: bool = False,
) -> NetworkPass:
    tiling = network_pass.tiling or choose_tiling(model, network_pass.input_size, settings, progress)
    completed = replace(network_pass, tiling=tiling, note=model.precision_note)
    seconds = estimate_seconds(model, completed.computed_pixels, timed=timed, progress=progress)
    return replace(completed, seconds=seconds)


def recall_plan(plan: UpscalePlan, models: Models) -> UpscalePlan:
    """Choose the tiles of those passes of which earlier loadings tell enough: nothing is loaded, nothing measured.

    Args:
        plan: One that was made without loading. The other passes stay without tiling.
        models: Where its models are.

    Raises:
        SettingsError: The settings can't be carried out.
    """
    settings = plan.settings

    def recall(network_pass: NetworkPass) -> NetworkPass:
        identity, precision, backend = network_pass.entry.identity, settings.precision.value, settings.backend.value
        known = models.cache.known(identity, precision, backend)
        try:
            return network_pass if known is None else _with_tiling(network_pass, known, settings)
        except NotMeasuredError:
            return network_pass

    return replace(plan, passes=tuple(map(recall, plan.passes)), second=tuple(map(recall, plan.second)))


def load_model(entry: Entry, settings: UpscaleSettings, models: Models, progress: Progress = SILENT) -> Model:
    """Return the network of an entry, loaded with the settings' precision and backend.

    Raises:
        ModelFileError: The file can't be loaded.
        SettingsError: The backend is not installed or does not run on the device.
        CancelledError: The person asked to stop, before it is loaded.
    """
    check(progress)
    precision, backend = settings.precision.value, settings.backend.value
    model = models.cache.loaded(entry.identity, precision, backend)
    if model is not None:
        return model
    progress.report(0, f"loading {entry.name}")
    return models.cache.get(entry.identity, precision, backend, accelerator(backend, models.cache.device))


class _Chain:
    """Which networks run on which sizes: before, the upscaler as often as needed, after."""

    def __init__(self, size: Size, settings: UpscaleSettings, models: Models) -> None:
        self._size, self._settings = size, settings
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
        target = self.layout.scaled
        while scale > 1 and repeats < _MOST_PASSES and not self._reaches(target, rest * scale**repeats):
            repeats += 1
        passes: list[NetworkPass] = []
        size = self._size
        for entry in (*self._before, *[main] * repeats, *self._after):
            passes.append(NetworkPass(entry, size))
            size = passes[-1].output_size
            if size.pixels > MAX_PIXELS:
                raise SettingsError(
                    f"On the way to {target} the image would have {size} pixels",
                    "use a model of a smaller scale, or a smaller target",
                )
        return passes

    def _reaches(self, target: Size, factor: int) -> bool:
        return self._size.width * factor >= target.width and self._size.height * factor >= target.height


def _scale_of(entries: list[Entry]) -> int:
    product = 1
    for entry in entries:
        assert entry.identity.network is not None, "the catalog finds networks only"
        product *= entry.identity.network.scale
    return product
