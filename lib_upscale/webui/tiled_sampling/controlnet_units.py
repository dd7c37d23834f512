"""ControlNet's units for a tile: a unit without an image gets the tile by itself, one with a map of the image its crop.

What a unit is led by as a whole (an image prompt, a face, a reference, a style) every tile gets whole. No ControlNet is
imported: a unit is an object that has `enabled`, `image` and `module`, or the API's dictionary, which names only what
is not left at its default.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import io
import os
from collections.abc import Sequence
from enum import Enum

import numpy as np
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size

__all__ = [
    "check",
    "check_joint",
    "count_enabled",
    "crop_units",
    "digest",
    "has_enabled",
    "has_own_image",
    "of_second_pass",
    "shows_whole",
    "switched_off",
]

_REGION_MASK = "effective_region_mask"
_IMAGES = ("image", "input_image", "mask", "mask_image", "image_fg", "mask_image_fg")
_KNOWN = ("module", "model")
"""A dictionary that has any of them is a unit; one of images alone is a value of some other script."""
_WHOLE_IMAGE = (
    "ipadapter",
    "instantid",
    "insightface",
    "photomaker",
    "clip",
    "revision",
    "reference",
    "shuffle",
    "style",
)
"""In names of preprocessors that take an image for what it shows, not for where."""
_WHOLE_TAGS = {"IP-Adapter", "Reference", "Revision", "Shuffle"}
"""What the hosts themselves call these kinds."""
_WHOLE_ON_FORGE = ("colorfix", "reference", "lllite")
"""What keeps something of the size of the whole latent within the Forge family's UNet."""
_PLAIN = (str, int, float, bool, bytes, list, tuple, Enum)


def has_enabled(arguments: Sequence[object]) -> bool:
    """Whether any unit among a script's arguments is switched on."""
    return any(_is_enabled(unit) for unit in arguments)


def count_enabled(arguments: Sequence[object]) -> int:
    """How many units among the arguments of scripts are switched on."""
    return sum(_is_enabled(unit) for unit in arguments)


def has_own_image(unit: object) -> bool:
    """Whether a unit brings an image along, so that it is not led by the tile itself."""
    names = ("image", "input_image", "generated_image") if _uses_preview(unit) else ("image", "input_image")
    return _input_mode(unit) == "merge" or any(not _is_empty(_get(unit, name)) for name in names)


def shows_whole(unit: object, preprocessor: object = None) -> bool:
    """Whether a unit's image is no map of the result but an image prompt, a face, a reference or a style.

    Args:
        unit: The unit.
        preprocessor: The host's own description of the unit's preprocessor, where it has one.
    """
    module = "".join(letter for letter in str(_get(unit, "module") or "").lower() if letter.isalnum())
    if "keypoints" in module:  # InstantID's second unit: where in the image the face is
        return False
    if any(name in module for name in _WHOLE_IMAGE) or "shuffle" in str(_get(unit, "model")).lower():
        return True
    is_image = bool(getattr(preprocessor, "returns_image", True))
    return not is_image or not _WHOLE_TAGS.isdisjoint(getattr(preprocessor, "tags", None) or ())


def check(arguments: Sequence[object], *, makes_hints: bool = False) -> None:
    """Check the arguments of ControlNet's own script, before anything is computed.

    Args:
        arguments: The units.
        makes_hints: The host reads the units' images itself, once for the whole canvas.

    Raises:
        SettingsError: For a unit of a kind that is not known here, that reads images from a folder, or whose image
            can't be read.
    """
    for unit in arguments:
        if _is_enabled(unit):
            _check_input(unit, makes_hints)
        if unit is None or isinstance(unit, _PLAIN) or _is_unit(unit):
            continue
        enabled = unit.get("enabled", False) if isinstance(unit, dict) else getattr(unit, "enabled", True)
        if enabled:
            raise SettingsError(
                f"This version of ControlNet, whose units are kept as {type(unit).__name__}, is not supported",
                "switch ControlNet off for this image, or use a version whose units have image and module",
            )


def check_joint(arguments: Sequence[object], *, is_forge: bool) -> None:
    """Check units for the method joint, beside `check`.

    Args:
        arguments: The units.
        is_forge: Whether it is the ControlNet of the Forge family.

    Raises:
        SettingsError: For a unit that works on the whole image at once, so that it would be wrong in every tile.
    """
    for unit in arguments:
        if not _is_enabled(unit):
            continue
        names = " ".join(str(_get(unit, name) or "") for name in ("module", "model"))
        is_masked = not _is_empty(_get(unit, _REGION_MASK)) and shows_whole(unit)
        if is_masked or (is_forge and any(kind in names.lower() for kind in _WHOLE_ON_FORGE)):
            part = f"The region mask of {names}" if is_masked else f"ControlNet's {names}"
            raise SettingsError(
                f"{part} works on the whole image at once, which the method joint does not have",
                "choose the method tiles, or switch the ControlNet unit off",
            )


def _check_input(unit: object, makes_hints: bool) -> None:
    mode = _input_mode(unit)
    if mode == "batch" or (mode == "merge" and not makes_hints and not shows_whole(unit)):
        tabs = "tab Batch is" if makes_hints else "tabs Batch and Multi-Inputs are"
        raise SettingsError(
            f"ControlNet's {tabs} not supported, as images of a folder can't be cut to tiles",
            "choose Single Image in the ControlNet unit, or switch it off",
        )
    for name in (*_IMAGES, _REGION_MASK):
        value = _get(unit, name)
        # Images in lists are the host's to read: of any other host's units no tile could be cut.
        if not _is_empty(value) and not (isinstance(value, (list, tuple)) and (makes_hints or shows_whole(unit))):
            _check_image(value)


def _check_image(value: object) -> None:
    if isinstance(value, dict):
        for part in value.values():
            if not _is_empty(part):
                _check_image(part)
    elif isinstance(value, str):
        if not os.path.isfile(value):  # noqa: PTH113 (the host takes names of files, too; never raises)
            _decode_base64(value)
    elif not isinstance(value, (np.ndarray, Image.Image)):
        raise _unknown_image(value)


def _unknown_image(value: object) -> SettingsError:
    return SettingsError(
        f"A ControlNet unit holds its image as {type(value).__name__}, which is not supported",
        "take the image out of the unit, so that it uses the tile, or switch the unit off",
    )


def _input_mode(unit: object) -> str:
    mode = _get(unit, "input_mode")
    return str(mode.value if isinstance(mode, Enum) else mode).rpartition(".")[2].lower()


def _uses_preview(unit: object) -> bool:
    """Whether Forge takes the map on the page for the image."""
    return bool(_get(unit, "use_preview_as_input"))


def crop_units(arguments: Sequence[object], region: Region, canvas: Size, *, images: bool = True) -> list[object]:
    """Cut the images of units to what lies under a tile.

    Args:
        arguments: A script's arguments, units among them.
        region: The tile on the canvas, in pixels.
        canvas: The size of the canvas, over which each image is thought stretched.
        images: False to leave their images whole, where the host's hints are cut instead.

    Returns:
        The same arguments with copies of the units: the host writes into what it is given.

    Raises:
        SettingsError: For a unit whose image is of a kind that is not known here.
    """
    return [_crop_unit(unit, region, canvas, images) if _is_enabled(unit) else unit for unit in arguments]


def switched_off(arguments: Sequence[object]) -> list[object]:
    """The same arguments with copies of all units that are on, switched off."""
    return [_switch_off(unit) if _is_enabled(unit) else unit for unit in arguments]


def of_second_pass(arguments: Sequence[object]) -> list[object]:
    """Switch off the units that are for hires fix's first pass alone: for an img2img they would be for all of it.

    Returns:
        The same arguments with copies of those units.
    """
    return [_switch_off(unit) if _is_enabled(unit) and _is_low_resolution(unit) else unit for unit in arguments]


def digest(arguments: Sequence[object]) -> str:
    """A hash of the enabled units, images and all, which is the same after a restart: for the journal."""
    result = hashlib.sha256()
    for unit in arguments:
        if not _is_enabled(unit):
            continue
        for name, value in sorted((unit if isinstance(unit, dict) else vars(unit)).items()):
            result.update(name.encode())
            _update_hash(result, value)
    return result.hexdigest()[:16]


def _update_hash(result: hashlib._Hash, value: object) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            result.update(str(key).encode())
            _update_hash(result, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _update_hash(result, item)
    elif isinstance(value, np.ndarray):
        result.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Image.Image):
        result.update(value.tobytes())
    elif value is None or isinstance(value, (str, int, float, bool)):
        result.update(repr(value).encode())
    else:
        # The default repr of an object holds its address, which is another one after a restart.
        result.update(f"{type(value).__name__} {getattr(value, 'value', '')}".encode())


def _is_unit(value: object) -> bool:
    if isinstance(value, dict):
        return any(name in value for name in _KNOWN)
    return hasattr(value, "enabled") and hasattr(value, "image") and hasattr(value, "module")


def _is_enabled(value: object) -> bool:
    return _is_unit(value) and bool(_get(value, "enabled"))


def _is_low_resolution(unit: object) -> bool:
    """Whether a unit is for the first pass alone; its option is an enumeration's member, its value, name or number."""
    option = _get(unit, "hr_option")
    value = option.value if isinstance(option, Enum) else option
    return value in ("Low res only", "HiResFixOption.LOW_RES_ONLY") or (value == 1 and not isinstance(value, bool))


def _switch_off(unit: object) -> object:
    changed = copy.copy(unit)
    if isinstance(changed, dict):
        changed["enabled"] = False
    else:
        setattr(changed, "enabled", False)  # noqa: B010 (of any class)
    return changed


def _get(unit: object, name: str) -> object:
    return unit.get(name, True if name == "enabled" else None) if isinstance(unit, dict) else getattr(unit, name, None)


def _crop_unit(unit: object, region: Region, canvas: Size, images: bool) -> object:
    names = [_REGION_MASK]
    if images and has_own_image(unit) and not shows_whole(unit):
        names += [*_IMAGES, "generated_image"] if _uses_preview(unit) else _IMAGES
    changed = copy.copy(unit)
    for name in names:
        value = _get(unit, name)
        if _is_empty(value):
            continue
        crop = _crop(value, region, canvas)
        if isinstance(changed, dict):
            changed[name] = crop
        else:
            setattr(changed, name, crop)
    return changed


def _is_empty(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(part) for part in value.values())
    return value is None or (isinstance(value, str) and not value)


def _crop(value: object, region: Region, canvas: Size) -> object:
    """The same kind of image, stretched over the canvas and cut at `region`."""
    if isinstance(value, dict):
        return {key: part if _is_empty(part) else _crop(part, region, canvas) for key, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
        return np.asarray(_cut(Image.fromarray(value), region, canvas))
    if isinstance(value, Image.Image):
        return _cut(value, region, canvas)
    if isinstance(value, str):
        return _encode_base64(_cut(_decode_base64(value), region, canvas))
    raise _unknown_image(value)


def _cut(image: Image.Image, region: Region, canvas: Size) -> Image.Image:
    # Only what lies under the tile is enlarged, not a whole canvas for each tile.
    across, down = image.width / canvas.width, image.height / canvas.height
    box = (region.x * across, region.y * down, region.right * across, region.bottom * down)
    return image.resize((region.width, region.height), Image.Resampling.LANCZOS, box=box)


def _decode_base64(text: str) -> Image.Image:
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except (binascii.Error, ValueError, OSError) as error:
        raise SettingsError(f"The image of a ControlNet unit can't be read ({error})", "send it as base64") from error


def _encode_base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
