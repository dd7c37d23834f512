"""Upscale Plus: any upscaler model, any picture, without seams.

The public names; each is imported when it is first asked for, so that importing the package costs nothing
and a listing of models needs no torch. The function itself is `lib_upscale.upscaling.run.upscale`: a room of that
name can't stand beside a function of that name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib_upscale.errors import CancelledError, UpscalePlusError
    from lib_upscale.image.io.files import read_picture, write_picture
    from lib_upscale.image.picture import Picture
    from lib_upscale.models.catalog.catalog import Catalog, Entry
    from lib_upscale.models.identification.identify import identify
    from lib_upscale.models.identity import Identity, Kind
    from lib_upscale.models.runtime.measurements import MeasurementStore
    from lib_upscale.models.runtime.model_cache import ModelCache, Models
    from lib_upscale.progress import SILENT, Callback, Progress
    from lib_upscale.settings.upscale import UpscaleSettings

__all__ = [
    "SILENT",
    "Callback",
    "CancelledError",
    "Catalog",
    "Entry",
    "Identity",
    "Kind",
    "MeasurementStore",
    "ModelCache",
    "Models",
    "Picture",
    "Progress",
    "UpscalePlusError",
    "UpscaleSettings",
    "identify",
    "read_picture",
    "write_picture",
]

_ROOMS = {
    "errors": ("CancelledError", "UpscalePlusError"),
    "image.files": ("read_picture", "write_picture"),
    "image.picture": ("Picture",),
    "models.catalog": ("Catalog", "Entry"),
    "models.identify": ("identify",),
    "models.identity": ("Identity", "Kind"),
    "models.notes": ("MeasurementStore",),
    "models.pool": ("Models", "ModelCache"),
    "progress": ("SILENT", "Callback", "Progress"),
    "settings": ("UpscaleSettings",),
}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"lib_upscale.{room}"), name)
    raise AttributeError(f"module 'lib_upscale' has no attribute '{name}'")
