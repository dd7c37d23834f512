"""ControlNet's units for a tile: a unit without a picture gets the tile by itself, one with a picture gets its crop.

No ControlNet is imported: a unit is an object that has `enabled`, `image` and `module`, or the API's dictionary, which
names only what is not left at its default.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import io
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size

__all__ = ["check", "cropped", "digest", "has_enabled"]

_PICTURES = ("image", "input_image", "mask", "mask_image", "image_fg", "mask_image_fg", "effective_region_mask")
_KNOWN = ("module", "model")
"""A dictionary that has any of them is a unit; one of pictures alone is a value of some other script."""
_PLAIN = (str, int, float, bool, bytes, list, tuple, Enum)


def has_enabled(arguments: Sequence[Any]) -> bool:
    """Whether any unit among a script's arguments is switched on."""
    return any(_is_unit(unit) and _get(unit, "enabled") for unit in arguments)


def check(arguments: Sequence[Any]) -> None:
    """Raise `SettingsError` for ControlNet's own arguments if a unit among them is of a kind that is not known here."""
    for unit in arguments:
        if unit is None or isinstance(unit, _PLAIN) or _is_unit(unit):
            continue
        enabled = unit.get("enabled", False) if isinstance(unit, dict) else getattr(unit, "enabled", True)
        if enabled:
            raise SettingsError(
                f"This version of ControlNet, whose units are kept as {type(unit).__name__}, is not supported",
                "switch ControlNet off for this picture, or use a version whose units have image and module",
            )


def cropped(arguments: Sequence[Any], region: Region, canvas: Size) -> list[Any]:
    """The same arguments, their units' pictures cut to what lies under a tile of the canvas.

    Raises `SettingsError` for a unit whose picture is of a kind that is not known here.
    """
    return [_cropped_unit(unit, region, canvas) if _is_live(unit) else unit for unit in arguments]


def digest(arguments: Sequence[Any]) -> str:
    """What differs where the units do: for the journal."""
    found = hashlib.sha256()
    for unit in arguments:
        if not _is_live(unit):
            continue
        for name, value in sorted((unit if isinstance(unit, dict) else vars(unit)).items()):
            found.update(name.encode())
            _feed(found, value)
    return found.hexdigest()[:16]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            found.update(str(key).encode())
            _feed(found, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(found, item)
    elif isinstance(value, np.ndarray):
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Image.Image):
        found.update(value.tobytes())
    elif value is None or isinstance(value, (str, int, float, bool)):
        found.update(repr(value).encode())
    else:
        # The default repr of an object holds its address, which is another one after a restart.
        found.update(f"{type(value).__name__} {getattr(value, 'value', '')}".encode())


def _is_unit(value: Any) -> bool:
    if isinstance(value, dict):
        return any(name in value for name in _KNOWN)
    return hasattr(value, "enabled") and hasattr(value, "image") and hasattr(value, "module")


def _is_live(value: Any) -> bool:
    return _is_unit(value) and bool(_get(value, "enabled"))


def _get(unit: Any, name: str) -> Any:
    return unit.get(name, True if name == "enabled" else None) if isinstance(unit, dict) else getattr(unit, name, None)


def _cropped_unit(unit: Any, region: Region, canvas: Size) -> Any:
    if all(_is_empty(_get(unit, name)) for name in ("image", "input_image")):
        return unit
    changed = copy.copy(unit)
    for name in _PICTURES:
        value = _get(unit, name)
        if _is_empty(value):
            continue
        crop = _crop(value, region, canvas)
        if isinstance(changed, dict):
            changed[name] = crop
        else:
            setattr(changed, name, crop)
    return changed


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(part) for part in value.values())
    return value is None or (isinstance(value, str) and not value)


def _crop(value: Any, region: Region, canvas: Size) -> Any:
    """The same kind of picture, stretched over the canvas and cut at `region`."""
    if isinstance(value, dict):
        return {key: part if _is_empty(part) else _crop(part, region, canvas) for key, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
        return np.asarray(_cut(Image.fromarray(value), region, canvas))
    if isinstance(value, Image.Image):
        return _cut(value, region, canvas)
    if isinstance(value, str):
        return _encoded(_cut(_decoded(value), region, canvas))
    raise SettingsError(
        f"A ControlNet unit holds its picture as {type(value).__name__}, which is not supported",
        "take the picture out of the unit, so that it uses the tile, or switch the unit off",
    )


def _cut(image: Image.Image, region: Region, canvas: Size) -> Image.Image:
    # Only what lies under the tile is enlarged, not a whole canvas for each tile.
    across, down = image.width / canvas.width, image.height / canvas.height
    box = (region.x * across, region.y * down, region.right * across, region.bottom * down)
    return image.resize((region.width, region.height), Image.Resampling.LANCZOS, box=box)


def _decoded(text: str) -> Image.Image:
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except (binascii.Error, ValueError, OSError) as error:
        raise SettingsError(f"The picture of a ControlNet unit can't be read ({error})", "send it as base64") from error


def _encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
