"""Enlarges an image before it is redrawn: with any upscaler of the host's list, ours or its own, to an exact size."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import UnknownModelError
from lib_upscale.estimate import Estimate
from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import to_floats, to_levels
from lib_upscale.image.picture import Picture
from lib_upscale.image.resampling import resample
from lib_upscale.image.target import Fit
from lib_upscale.progress import SILENT, Progress, begin_part
from lib_upscale.redrawing.tiles import Pixels
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.model import give_memory_back
from lib_upscale.webui.host.protocols import HostUpscalerEntry
from lib_upscale.webui.host.upscalers import list_upscalers
from lib_upscale.webui.upscalers import registry, settings_page, timings
from lib_upscale.webui.upscalers.engine import engine, model_list

__all__ = ["Enlarger", "estimate_enlarging", "resolve_name"]

_FILTERS = {"None": "lanczos", "Lanczos": "lanczos", "Nearest": "nearest"}

_Levels = NDArray[np.uint8] | NDArray[np.uint16]


def resolve_name(name: str) -> str:
    """Return the name of an upscaler as the host lists it; the default for "".

    Raises:
        UnknownModelError: There is none of that name.
    """
    listed = registry.names()
    if not name:
        networks = [(model.name, model.identity.network) for model in model_list.upscalers()]
        larger = [name for name, network in networks if network is None or network.scale > 1]
        return next((name for name in larger if name in listed), "Lanczos")
    if name in listed or name in _FILTERS:
        return name
    same = [other for other in listed if other.lower() == name.lower()]
    if same:
        return same[0]
    model_list.find_listed(name)  # raises, naming what comes nearest
    return name


def estimate_enlarging(name: str, source: Size, size: Size) -> Estimate | None:
    """Estimate what an upscaler of the host's list takes for an image; None where it never ran."""
    return timings.estimate_enlarging(name, _work(name, source, size))


def _work(name: str, source: Size, size: Size) -> float:
    """What enlarging costs, in pixels: those that a network of ours is given, else those of the result."""
    entry = _entry(name)
    if entry is None or not isinstance(entry.scaler, registry.Scaler) or not isinstance(entry.scaler.path, Path):
        return float(size.pixels)  # ours, but not downloaded yet: then it never ran
    return float(engine.work(source, _settings(entry.scaler, size)))


class Enlarger:
    """An `Upscaler` of `lib_upscale.redrawing`.

    Args:
        name: That of the host's list, or "" for the default.
        keeps: The last result is kept for the next image of a batch count, which has the same source.
    """

    def __init__(self, name: str, keeps: bool) -> None:
        self.name = resolve_name(name)
        self._keeps = keeps
        self._last: tuple[int, Size, Pixels] | None = None
        self.seconds = 0.0
        """What all of it took."""

    def __call__(self, pixels: Pixels, size: Size, progress: Progress = SILENT) -> Pixels:
        """Enlarge an image.

        Args:
            pixels: (height, width, 3), 0 to 1.
            size: That of the result.
            progress: Hears of it.

        Raises:
            UpscalePlusError: What the upscaler raises.
        """
        if self._last is not None and self._last[:2] == (id(pixels), size):
            return self._last[2]
        source, began = Size(pixels.shape[1], pixels.shape[0]), time.perf_counter()
        begin_part(progress, 0.0, "", 1.0, _middle(estimate_enlarging(self.name, source, size)))
        enlarged = self._enlarge(pixels, size, progress)
        taken = time.perf_counter() - began
        self.seconds += taken
        timings.record_enlarging(self.name, _work(self.name, source, size), taken)
        if self._keeps:
            self._last = (id(pixels), size, enlarged)
        return enlarged

    def _enlarge(self, pixels: Pixels, size: Size, progress: Progress) -> Pixels:
        levels = to_levels(pixels, np.uint16)  # 16 bits on its way: it is going to be worked on further
        if self.name in _FILTERS:
            return _to_rgb(resample(levels, size, _FILTERS[self.name], progress=progress))
        entry = _entry(self.name)
        scaler = entry.scaler if entry is not None else None
        if entry is not None and not isinstance(scaler, registry.Scaler):
            return _to_rgb(resample(_run_host_upscaler(entry, pixels, size), size))
        settings = _settings(scaler if scaler is not None else self.name, size)
        try:
            return _to_rgb(engine.upscale(Picture(levels), settings, progress).picture.pixels)
        finally:
            engine.after_job()


def _entry(name: str) -> HostUpscalerEntry | None:
    return next((entry for entry in list_upscalers() if entry.name == name), None)


def _settings(model: registry.Scaler | str, size: Size) -> UpscaleSettings:
    name = model if isinstance(model, str) else str(model.file())
    return settings_page.usual().changed(model=name, width=size.width, height=size.height, fit=Fit.STRETCH)


def _middle(known: Estimate | None) -> float | None:
    return None if known is None else known.middle


def _run_host_upscaler(entry: HostUpscalerEntry, pixels: Pixels, size: Size) -> NDArray[np.uint16]:
    image = to_pil(pixels)
    factor = max(size.width / image.width, size.height / image.height)
    enlarged = entry.scaler.upscale(image, factor, entry.data_path)
    if enlarged is None:
        raise UnknownModelError(entry.name, (), "the WebUI's own upscaler failed, see the console")
    give_memory_back()
    levels: NDArray[np.uint16] = np.asarray(enlarged.convert("RGB")).astype(np.uint16) * 257
    return levels


def _to_rgb(levels: _Levels) -> Pixels:
    """Floats from 0 to 1 with three channels: a redraw is in color, whatever was enlarged."""
    return to_floats(levels if levels.shape[2] == 3 else np.repeat(levels, 3, axis=2))
