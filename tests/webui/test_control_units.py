"""ControlNet's units for a tile, in every form in which hosts hold them; no WebUI is needed for it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.webui.tiled_sampling.controlnet_units import (
    check,
    crop_units,
    digest,
    has_enabled,
    of_second_pass,
)

CANVAS, TILE = Size(256, 128), Region(64, 32, 64, 64)


@dataclass
class Unit:
    enabled: bool = True
    module: str = "tile_resample"
    image: Any = None


def halves() -> np.ndarray[Any, Any]:
    """Half the canvas' size: left of the middle black, right of it white."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 48:] = 255
    return pixels


def encoded(pixels: np.ndarray[Any, Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def shown(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, str):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(value))))
    return np.asarray(value["image"] if isinstance(value, dict) else value)


def test_the_apis_other_name_for_a_picture_is_known() -> None:
    (changed,) = crop_units([{"input_image": encoded(halves()), "model": "m"}], TILE, CANVAS)
    assert shown(changed["input_image"]).shape == (64, 64, 3)


def test_a_version_whose_units_are_not_known_is_refused_if_it_is_switched_on() -> None:
    check([Unit(), Unit(enabled=False), {"model": "m"}, {}, {"enabled": False}, None, "text", 3, [1]])
    for unknown in ({"enabled": True, "hint": "x"}, object()):
        with pytest.raises(SettingsError, match="not supported"):
            check([Unit(), unknown])


@pytest.mark.parametrize("form", [lambda p: p, lambda p: {"image": p, "mask": None}, encoded, Image.fromarray])
def test_a_picture_is_cut_to_what_lies_under_the_tile(form: Any) -> None:
    unit = Unit(image=form(halves()))
    (changed,) = crop_units([unit], TILE, CANVAS)
    pixels = shown(changed.image)
    assert pixels.shape == (64, 64, 3)
    assert pixels[:, :26].max() < 20
    assert pixels[:, 38:].min() > 235
    assert changed is not unit
    assert shown(unit.image).shape == (64, 128, 3), "the person's own unit must stay as it is"


def test_the_api_sends_dictionaries() -> None:
    unit = {"image": encoded(halves()), "module": "canny", "model": "m"}
    (changed,) = crop_units([unit], TILE, CANVAS)
    assert shown(changed["image"]).shape == (64, 64, 3)
    assert shown(unit["image"]).shape == (64, 128, 3)


def test_units_without_a_picture_and_other_arguments_are_left_alone() -> None:
    arguments = [Unit(), Unit(enabled=False, image=object()), "text", 3]
    assert crop_units(arguments, TILE, CANVAS) == arguments
    assert has_enabled(arguments)
    assert not has_enabled([Unit(enabled=False), True, {"image": None}, {"model": "m", "enabled": False}])
    assert has_enabled([{"module": "tile_resample"}]), "the API leaves out what is at its default"


def test_a_unit_of_an_unknown_kind_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="not supported"):
        crop_units([Unit(image=object())], TILE, CANVAS)


def test_the_digest_follows_pictures_and_settings_and_survives_a_restart() -> None:
    same = [digest([Unit(image=halves())]) for _ in range(2)]
    assert same[0] == same[1]
    assert digest([Unit(image=halves()[::-1, ::-1])]) != same[0]
    assert digest([Unit(image=halves(), module="canny")]) != same[0]


class HiResFixOption(Enum):
    BOTH = "Both"
    LOW_RES_ONLY = "Low res only"
    HIGH_RES_ONLY = "High res only"


@dataclass
class ForgeUnit(Unit):
    hr_option: Any = HiResFixOption.BOTH
    use_preview_as_input: bool = False
    generated_image: Any = None
    input_mode: Any = "simple"


def test_units_for_the_first_pass_alone_stay_out_of_the_second() -> None:
    for option in (HiResFixOption.LOW_RES_ONLY, "Low res only", "HiResFixOption.LOW_RES_ONLY", 1):
        unit, plain = ForgeUnit(hr_option=option), {"model": "m", "hr_option": option}
        changed = of_second_pass([unit, plain, "text"])
        assert not has_enabled(changed), option
        assert (unit.enabled, changed[2]) == (True, "text")
    for option in (*HiResFixOption, "Both", "High res only", 0, 2, None):
        if option is not HiResFixOption.LOW_RES_ONLY:
            units = [ForgeUnit(hr_option=option), {"model": "m", "hr_option": option}, Unit()]
            assert of_second_pass(units) == units, option


def test_a_preview_used_as_input_is_cut_like_the_image() -> None:
    (changed,) = crop_units([ForgeUnit(use_preview_as_input=True, generated_image=halves())], TILE, CANVAS)
    assert shown(changed.generated_image).shape == (64, 64, 3)
    unused = ForgeUnit(generated_image=halves())
    assert crop_units([unused], TILE, CANVAS)[0] is unused


def test_units_that_read_images_themselves_are_refused_unless_they_are_seen_whole() -> None:
    input_mode = Enum("InputMode", {"SIMPLE": "simple", "BATCH": "batch", "MERGE": "merge"})
    check([ForgeUnit(input_mode=mode) for mode in ("simple", input_mode["SIMPLE"])])
    check([ForgeUnit(input_mode=input_mode["MERGE"], module="ip-adapter_clip_sd15")])
    check([ForgeUnit(input_mode="batch", enabled=False)])
    for mode in (input_mode["BATCH"], input_mode["MERGE"], "batch", "merge"):
        with pytest.raises(SettingsError, match="Batch and Multi-Inputs"):
            check([ForgeUnit(input_mode=mode)])
