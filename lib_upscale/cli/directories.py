"""The folders of the command line: models and caches. Nothing else reads environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lib_upscale.models.catalog.catalog import Catalog

__all__ = ["MODELS_VARIABLE", "cache_folder", "data_folder", "open_catalog"]

MODELS_VARIABLE = "UPSCALE_PLUS_MODELS"
"""The environment variable that lists folders of models, separated as in PATH."""

_NAME = "upscale-plus"


def open_catalog(folders: Sequence[Path]) -> Catalog:
    """Open the models in `folders`, else the environment's, else the user's own folder; and the default models."""
    return Catalog(folders or _usual_folders(), cache=cache_folder() / "identities.json")


def cache_folder() -> Path:
    """The folder for what can be computed again: below XDG_CACHE_HOME, LOCALAPPDATA or ~/Library/Caches."""
    if sys.platform == "win32":
        return _base("LOCALAPPDATA", "AppData/Local") / _NAME / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser() / _NAME
    return _base("XDG_CACHE_HOME", ".cache") / _NAME


def data_folder() -> Path:
    """The folder for what a person puts there: below XDG_DATA_HOME, LOCALAPPDATA or ~/Library/Application Support."""
    if sys.platform == "win32":
        return _base("LOCALAPPDATA", "AppData/Local") / _NAME
    if sys.platform == "darwin":
        return Path("~/Library/Application Support").expanduser() / _NAME
    return _base("XDG_DATA_HOME", ".local/share") / _NAME


def _usual_folders() -> list[Path]:
    listed = [part for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in listed] or [data_folder() / "models"]


def _base(variable: str, below_home: str) -> Path:
    # The XDG specification has relative paths ignored.
    folder = Path(os.environ.get(variable, ""))
    return folder if folder.is_absolute() else Path(os.path.expanduser("~")) / below_home  # noqa: PTH111 (never raises)
