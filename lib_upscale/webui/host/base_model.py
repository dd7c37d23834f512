"""The chosen Stable Diffusion checkpoint, without loading it: its name and what it asks of sizes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lib_upscale.errors import UpscalePlusError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.other_models import identify_other_model
from lib_upscale.models.model_files import file_fingerprint
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.protocols import HostCheckpointInfo

__all__ = ["Sides", "selected_name", "sides_of"]


class Sides(NamedTuple):
    """What a base model asks of the sides of an image, in pixels."""

    native: int
    """At which it was trained."""
    multiple: int
    """Of what they must be multiples."""


_OLD = Sides(512, LATENT)
_NEW = Sides(1024, 2 * LATENT)
"""Transformers see latents in squares of two by two; the WebUI cuts images off to that for Stable Diffusion 3."""
_SIDES = {"1.x": _OLD, "2.x": Sides(768, LATENT), "XL": Sides(1024, LATENT), "Stable Diffusion UNet": _OLD}
"""Part of an architecture's name -> its sides. Whatever else is run (Flux, Qwen, GGUF files, folders) is newer."""


def sides_of(name: str | None = None) -> Sides:
    """What the chosen checkpoint asks of sides. `name` overrides the one of the settings."""
    path = _path(name)
    return _OLD if path is None else _read_sides(str(path), file_fingerprint(path))


def selected_name(name: str | None = None) -> str:
    """The chosen checkpoint's name; "" if there is none."""
    info = _info(name)
    return str(getattr(info, "name_for_extra", "") or getattr(info, "name", "")) if info is not None else ""


def _info(name: str | None) -> HostCheckpointInfo | None:
    from modules import sd_models

    wanted = name or environment.option("sd_model_checkpoint", "")
    info: HostCheckpointInfo | None = sd_models.get_closet_checkpoint_match(wanted) if wanted else None
    return info or next(iter(sd_models.checkpoints_list.values()), None)


def _path(name: str | None) -> Path | None:
    filename = getattr(_info(name), "filename", None)
    return Path(filename) if filename else None


@lru_cache(maxsize=64)
def _read_sides(path: str, fingerprint: object) -> Sides:
    try:
        model = identify_other_model(read_checkpoint(Path(path)))
    except (UpscalePlusError, OSError):
        return _NEW
    architecture = (model.architecture if model is not None else None) or ""
    return next((sides for mark, sides in _SIDES.items() if mark in architecture), _NEW)
