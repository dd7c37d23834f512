"""The chosen Stable Diffusion checkpoint, without loading it: its name and the size it was trained at."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lib_upscale.errors import UpscalePlusError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.other_models import identify_other_model
from lib_upscale.models.model_files import file_fingerprint
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.protocols import HostCheckpointInfo

__all__ = ["native_side", "selected_name"]

_SIDES = {"1.x": 512, "2.x": 768, "XL": 1024, "3": 1024, "Flux": 1024}
"""Part of an architecture's name -> the side in pixels at which it was trained."""
_DEFAULT_SIDE = 512


def native_side(name: str | None = None) -> int:
    """The side in pixels at which the chosen checkpoint was trained. `name` overrides the one of the settings."""
    path = _path(name)
    if path is None:
        return _DEFAULT_SIDE
    return _side_of(str(path), file_fingerprint(path))


def selected_name(name: str | None = None) -> str:
    """The chosen checkpoint's name; "" if there is none."""
    info = _info(name)
    return str(getattr(info, "name_for_extra", "") or getattr(info, "name", "")) if info is not None else ""


def _info(name: str | None) -> HostCheckpointInfo | None:
    from modules import sd_models

    wanted = name or environment.option("sd_model_checkpoint", "")
    info: HostCheckpointInfo | None = sd_models.checkpoint_aliases.get(wanted) if wanted else None
    return info or next(iter(sd_models.checkpoints_list.values()), None)


def _path(name: str | None) -> Path | None:
    filename = getattr(_info(name), "filename", None)
    return Path(filename) if filename else None


@lru_cache(maxsize=64)
def _side_of(path: str, fingerprint: object) -> int:
    try:
        model = identify_other_model(read_checkpoint(Path(path)))
    except (UpscalePlusError, OSError):
        return _DEFAULT_SIDE
    architecture = (model.architecture if model is not None else None) or ""
    return next((side for mark, side in _SIDES.items() if mark in architecture), _DEFAULT_SIDE)
