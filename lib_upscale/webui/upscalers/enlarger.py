"""What enlarges a picture before it is redrawn: any upscaler of the host's list, ours or its own, to an exact size."""

from __future__ import annotations

from typing import Any

import numpy as np

from lib_upscale.errors import UnknownModelError
from lib_upscale.image.geometry import Size
from lib_upscale.image.picture import Picture
from lib_upscale.image.resample import resample
from lib_upscale.image.target import Fit
from lib_upscale.progress import Progress
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.webui.host.images import to_pil
from lib_upscale.webui.host.model import give_memory_back
from lib_upscale.webui.host.upscalers import list_upscalers
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers import settings_page as options
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["Enlarger", "known_name"]

_PLAIN = {"None": "lanczos", "Lanczos": "lanczos", "Nearest": "nearest"}
_LEVELS = 65535


def known_name(name: str) -> str:
    """The name as the host lists it; the default for "". Raises `UnknownModelError`."""
    listed = registry.names()
    if not name:
        larger = [e.name for e in engine.upscalers() if e.identity.network is None or e.identity.network.scale > 1]
        return next((each for each in larger if each in listed), "Lanczos")
    if name in listed or name in _PLAIN:
        return name
    same = [each for each in listed if each.lower() == name.lower()]
    if same:
        return same[0]
    engine.known(name)  # raises, naming what comes nearest
    return name


class Enlarger:
    """An `Upscaler` by name. The picture enlarged last is kept, for the next one of a batch count."""

    def __init__(self, name: str, progress: Progress, keeps: bool) -> None:
        self._name, self._progress, self._keeps = known_name(name), progress, keeps
        self._last: tuple[int, Size, Pixels] | None = None

    @property
    def name(self) -> str:
        """As the host lists it."""
        return self._name

    def __call__(self, pixels: Pixels, size: Size) -> Pixels:
        """`pixels` (height, width, 3), 0 to 1, at exactly `size`. Raises what the upscaler raises."""
        if self._last is not None and self._last[:2] == (id(pixels), size):
            return self._last[2]
        made = self._made(pixels, size)
        if self._keeps:
            self._last = (id(pixels), size, made)
        return made

    def _made(self, pixels: Pixels, size: Size) -> Pixels:
        levels = np.rint(np.clip(pixels, 0, 1) * _LEVELS).astype(np.uint16)
        if self._name in _PLAIN:
            return _floats(resample(levels, size, _PLAIN[self._name], progress=self._progress))
        entry = next((entry for entry in list_upscalers() if entry.name == self._name), None)
        scaler = getattr(entry, "scaler", None)
        if entry is not None and not isinstance(scaler, registry.Scaler):
            return _floats(resample(_by_host(entry, pixels, size), size))
        model = str(scaler.file()) if scaler is not None else self._name
        settings = options.usual().changed(model=model, width=size.width, height=size.height, fit=Fit.STRETCH)
        try:
            return _floats(engine.upscale(Picture(levels), settings, self._progress).picture.pixels)
        finally:
            engine.after_job()


def _by_host(entry: Any, pixels: Pixels, size: Size) -> Any:
    image = to_pil(pixels)
    factor = max(size.width / image.width, size.height / image.height)
    made = entry.scaler.upscale(image, factor, entry.data_path)
    if made is None:
        raise UnknownModelError(entry.name, (), "the WebUI's own upscaler failed, see the console")
    give_memory_back()
    # 16 bits, for what is done with it next.
    return np.asarray(made.convert("RGB")).astype(np.uint16) * 257


def _floats(levels: Any) -> Pixels:
    top = 255 if levels.dtype == np.uint8 else _LEVELS
    values = levels if levels.shape[2] == 3 else np.repeat(levels, 3, axis=2)
    return np.asarray(values.astype(np.float32) / np.float32(top), dtype=np.float32)
