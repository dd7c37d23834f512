"""The Stable Diffusion model of the host, told without loading it: what size it was trained at, and its hashes."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib_upscale.errors import UpscalePlusError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.other_models import identify_other_model
from lib_upscale.models.model_files import file_fingerprint

__all__ = ["is_xl", "native_side", "selected_name"]

_SIDES = {"1.x": 512, "2.x": 768, "XL": 1024, "3": 1024, "Flux": 1024}


def native_side(name: str | None = None) -> int:
    """The side in pixels at which the chosen checkpoint was trained. `name` overrides the one of the settings."""
    path = _path(name)
    if path is None:
        return 512
    return _side_of(str(path), file_fingerprint(path))


def selected_name(name: str | None = None) -> str:
    """The chosen checkpoint's name; "" if there is none."""
    info = _info(name)
    return str(getattr(info, "name_for_extra", "") or getattr(info, "name", "")) if info is not None else ""


def is_xl(model: Any) -> bool:
    """Whether a loaded model is told the size and place of a crop."""
    return bool(getattr(model, "is_sdxl", False))


def _info(name: str | None) -> Any:
    from modules import sd_models, shared

    wanted = name or getattr(shared.opts, "sd_model_checkpoint", None)
    if wanted and (found := sd_models.checkpoint_aliases.get(wanted)):
        return found
    with contextlib.suppress(Exception):
        return next(iter(sd_models.checkpoints_list.values()))
    return None


def _path(name: str | None) -> Path | None:
    filename = getattr(_info(name), "filename", None)
    return Path(filename) if filename else None


@lru_cache(maxsize=64)
def _side_of(path: str, fingerprint: object) -> int:
    try:
        foreign = identify_other_model(read_checkpoint(Path(path)))
    except (UpscalePlusError, OSError):
        return 512
    architecture = (foreign.architecture if foreign is not None else None) or ""
    return next((side for mark, side in _SIDES.items() if mark in architecture), 512)
