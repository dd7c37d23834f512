"""Which scripts of a generation can be run for tiles, and with which arguments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.errors import SettingsError
from lib_upscale.webui.tiled_sampling import controlnet_hints
from lib_upscale.webui.tiled_sampling.tile_scripts import arguments_of_image, check_scripts

REGIONAL = "extensions/sd-webui-regional-prompter/scripts/rp.py"
COUPLE = "extensions/sd-forge-couple/scripts/forge_couple.py"
GUIDANCE = "extensions-builtin/sd_forge_sag/scripts/forge_sag.py"
CONTROLNET = "extensions/sd-webui-controlnet/scripts/controlnet.py"


@pytest.fixture(autouse=True)
def no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controlnet_hints, "module_of", lambda script: None)


def runner(file: str, count: int = 2) -> Any:
    script = SimpleNamespace(filename=f"/webui/{file}", args_from=1, args_to=1 + count, title=lambda: "A script")
    return SimpleNamespace(alwayson_scripts=[script])


@pytest.mark.parametrize("is_joint", [False, True])
@pytest.mark.parametrize("file", [REGIONAL, COUPLE])
def test_a_script_that_divides_the_image_would_divide_every_tile(file: str, is_joint: bool) -> None:
    with pytest.raises(SettingsError, match=r"A script .* Regions"):
        check_scripts(runner(file), [0, True, "columns"], is_joint=is_joint)
    check_scripts(runner(file), [0, False, "columns"], is_joint=is_joint)
    check_scripts(runner(file), None, is_joint=is_joint)


def test_one_that_keeps_the_size_of_the_whole_latent_works_with_the_method_tiles() -> None:
    with pytest.raises(SettingsError, match="choose the method tiles"):
        check_scripts(runner(GUIDANCE), [0, True, 0.5], is_joint=True)
    check_scripts(runner(GUIDANCE), [0, True, 0.5])
    check_scripts(runner(GUIDANCE), [0, False, 0.5], is_joint=True)


def test_controlnets_own_batch_is_refused_but_in_the_hosts_own_pass() -> None:
    arguments = [0, {"model": "m", "input_mode": "batch"}, {"enabled": False}]
    with pytest.raises(SettingsError, match="Batch"):
        check_scripts(runner(CONTROLNET), arguments)
    check_scripts(runner(CONTROLNET), arguments, is_joint=True, is_hosts_pass=True)


def test_for_the_image_itself_controlnet_is_there_and_its_units_are_off() -> None:
    arguments = [True, {"model": "m"}, "text", {"model": "of another script"}]
    changed = arguments_of_image(runner(CONTROLNET), arguments)
    assert changed == [True, {"model": "m", "enabled": False}, "text", {"model": "of another script"}]
    assert arguments[1] == {"model": "m"}
    assert arguments_of_image(runner(REGIONAL), arguments) == arguments
