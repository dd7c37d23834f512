"""A person's models: which files there are, and which networks are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch

from lib_upscale.models.catalog.bundled import DEFAULT_MODEL
from lib_upscale.models.catalog.catalog import Catalog, Entry
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model_cache import ModelCache

__all__ = ["Models"]


@dataclass(frozen=True)
class Models:
    """A person's models."""

    catalog: Catalog
    """The files there are."""
    cache: ModelCache
    """The networks that are loaded."""

    @classmethod
    def open(
        cls,
        folders: Iterable[str | PathLike[str]] = (),
        device: str | torch.device = "auto",
        *,
        cache_folder: str | PathLike[str] | None = None,
    ) -> Models:
        """Open folders of model files. The default models are found as well where their package is installed.

        Args:
            folders: Looked through with all folders below them, at the first look-up.
            device: "auto", the name of a device ("cpu", "cuda", "cuda:1", "mps", ...) or the device itself.
            cache_folder: Where to keep what was found out about files and measured of networks. None keeps it in
                memory: a library writes no file that it was not asked for. The command line has a folder of its own.

        Raises:
            SettingsError: torch has no such device here.
        """
        place = None if cache_folder is None else Path(cache_folder)
        return cls(
            Catalog([Path(folder) for folder in folders], cache=place and place / "identities.json"),
            ModelCache(device, measurements=MeasurementStore(place and place / "notes.json")),
        )

    def find(self, name: str) -> Entry:
        """Return the entry of that name, or of the file of that path; "" is the default model.

        Raises:
            UnknownModelError: There is no such model; names what comes nearest.
            ModelFileError: Its file can't upscale; says why.
        """
        return self.catalog.find(name or DEFAULT_MODEL)
