"""ControlNet's units for a tile, in every form in which hosts hold them; no WebUI is needed for it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.webui.tiled_sampling import controlnet_hints
from lib_upscale.webui.tiled_sampling.controlnet_hints import WholeHints
from lib_upscale.webui.tiled_sampling.controlnet_units import (
    check,
    check_joint,
    crop_units,
    digest,
    has_enabled,
    of_second_pass,
    shows_whole,
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
    (kept,) = crop_units([unused], TILE, CANVAS)
    assert kept.generated_image is unused.generated_image


def test_units_that_read_images_themselves_are_refused_unless_they_are_seen_whole() -> None:
    input_mode = Enum("InputMode", {"SIMPLE": "simple", "BATCH": "batch", "MERGE": "merge"})
    check([ForgeUnit(input_mode=mode) for mode in ("simple", input_mode["SIMPLE"])])
    check([ForgeUnit(input_mode=input_mode["MERGE"], module="ip-adapter_clip_sd15")])
    check([ForgeUnit(input_mode="batch", enabled=False)])
    check([ForgeUnit(input_mode="merge", image=[{"image": halves()}])], makes_hints=True)
    for mode in (input_mode["BATCH"], input_mode["MERGE"], "batch", "merge"):
        with pytest.raises(SettingsError, match="Batch and Multi-Inputs"):
            check([ForgeUnit(input_mode=mode)])
    with pytest.raises(SettingsError, match="tab Batch"):
        check([ForgeUnit(input_mode="batch")], makes_hints=True)


@pytest.mark.parametrize("image", ["nonsense!", object(), {"image": 3}, [halves()]])
def test_images_that_cannot_be_read_are_said_before_the_first_tile(image: Any) -> None:
    with pytest.raises(SettingsError, match=r"can't be read|not supported"):
        check([Unit(image=image)])
    check([Unit(image=image, enabled=False)])


def test_lists_of_images_are_the_hosts_to_read_where_it_does(tmp_path: Path) -> None:
    check([Unit(image=[halves(), halves()])], makes_hints=True)
    check([Unit(image=[{"image": encoded(halves())}], module="ip-adapter_clip_sd15")])
    Image.fromarray(halves()).save(tmp_path / "hint.png")
    check([Unit(image=str(tmp_path / "hint.png"))], makes_hints=True)


@pytest.mark.parametrize(
    "module",
    [
        "ip-adapter_clip_sd15",
        "ip-adapter_face_id_plus",
        "ip-adapter-auto",
        "ip-adapter_pulid",
        "instant_id_face_embedding",
        "clip_vision",
        "t2ia_style",
        "revision_clipvision",
        "revision_ignore_prompt",
        "reference_only",
        "reference_adain+attn",
        "shuffle",
        "CLIP-ViT-H (IPAdapter)",
        "InsightFace+CLIP-H (IPAdapter)",
        "InsightFace (InstantID)",
        "ClipVision (Photomaker)",
        "CLIP-G (Revision)",
    ],
)
def test_what_is_no_map_of_the_image_goes_whole(module: str) -> None:
    unit = Unit(module=module, image=halves())
    assert shows_whole(unit)
    (changed,) = crop_units([unit], TILE, CANVAS)
    assert np.array_equal(changed.image, halves())


@pytest.mark.parametrize(
    "module",
    [
        "none",
        "canny",
        "tile_resample",
        "inpaint_only",
        "openpose_full",
        "instant_id_face_keypoints",
        "recolor_luminance",
    ],
)
def test_what_is_a_map_of_the_image_is_cut(module: str) -> None:
    assert not shows_whole(Unit(module=module))
    (changed,) = crop_units([Unit(module=module, image=halves())], TILE, CANVAS)
    assert changed.image.shape == (64, 64, 3)


def test_the_hosts_own_word_for_a_preprocessor_counts() -> None:
    unit = Unit(module="newer")
    assert not shows_whole(unit, SimpleNamespace(tags=["Depth"], returns_image=True))
    assert shows_whole(unit, SimpleNamespace(tags=["Reference"], returns_image=True))
    assert shows_whole(unit, SimpleNamespace(tags=[], returns_image=False))


def test_where_the_host_makes_the_hints_only_the_effective_region_is_cut() -> None:
    unit = {"image": encoded(halves()), "model": "m", "effective_region_mask": encoded(halves())}
    (changed,) = crop_units([unit], TILE, CANVAS, images=False)
    assert changed["image"] == unit["image"]
    assert shown(changed["effective_region_mask"]).shape == (64, 64, 3)


def test_what_works_on_the_whole_image_at_once_is_refused_for_the_method_joint() -> None:
    masked = {"module": "ip-adapter_clip_sd15", "model": "m", "effective_region_mask": encoded(halves())}
    lite = {"module": "none", "model": "kohya_controllllite_xl_canny [x]"}
    with pytest.raises(SettingsError, match="choose the method tiles"):
        check_joint([masked], is_forge=False)
    for unit in (lite, {"module": "tile_colorfix", "model": "m"}, {"module": "reference_only", "model": "None"}):
        check_joint([unit], is_forge=False)
        check_joint([{**unit, "enabled": False}], is_forge=True)
        with pytest.raises(SettingsError, match="choose the method tiles"):
            check_joint([unit], is_forge=True)


class ForgeControlNet:
    """Makes hints as Forge's script does: for the size of `p`, as maps of what is asked for."""

    made = 0

    def process_unit_after_click_generate(self, p: Any, unit: Any, params: Any) -> None:
        self.made += 1
        rows = torch.arange(float(p.height))[None, None, :, None]
        columns = torch.arange(float(p.width))[None, None, None, :]
        params.control_cond = torch.cat([rows.expand(1, 1, -1, p.width), columns.expand(1, 1, p.height, -1)], dim=1)
        params.control_mask, params.seed = params.control_cond[:, :1], p.seed


def test_each_tile_gets_its_part_of_hints_that_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controlnet_hints, "module_of", lambda script: None)
    script = ForgeControlNet()
    original = ForgeControlNet.process_unit_after_click_generate
    p = SimpleNamespace(width=64, height=64, seed=[7], subseed=[8], all_seeds=[7], all_subseeds=[8])
    hints = WholeHints(Size(248, 120), CANVAS)
    for region in (Region(0, 0, 64, 64), Region(192, 64, 64, 64)):
        params = SimpleNamespace()
        with hints.cut([script], region):
            script.process_unit_after_click_generate(p, Unit(image=halves()), params)
        assert params.control_cond.shape == (1, 2, 64, 64)
        assert params.control_mask.shape == (1, 1, 64, 64)
        assert params.seed == 7
        corner = params.control_cond[0, :, 0, 0].tolist()
        assert corner == [region.y, region.x]
    assert params.control_cond[0, :, -1, -1].tolist() == [119, 247], "the last pixels are those of the hint, again"
    assert script.made == 1
    assert vars(script) == {"made": 1}
    assert (p.width, p.seed) == (64, [7])

    style = SimpleNamespace()
    with WholeHints(Size(248, 120), CANVAS).cut([script], TILE):
        script.process_unit_after_click_generate(p, Unit(module="shuffle", image=halves()), style)
        assert style.control_cond.shape == (1, 2, 64, 64)
        assert style.control_cond[0, :, 0, 0].tolist() == [0, 0]
        script.process_unit_after_click_generate(p, Unit(), params)
    assert params.control_cond[0, :, 0, 0].tolist() == [0, 0], "without an image it is led by the tile itself"
    assert ForgeControlNet.process_unit_after_click_generate is original
