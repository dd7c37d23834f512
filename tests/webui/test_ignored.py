"""What img2img offers and the script does not do is said below the result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.webui.host import environment
from lib_upscale.webui.sd_upscale.ignored import ignored_of
from lib_upscale.webui.tiled_sampling import tile_scripts

SOFT = SimpleNamespace(filename="extensions-builtin/soft-inpainting/scripts/soft_inpainting.py", args_from=1, args_to=3)
USUAL: dict[str, Any] = {
    "batch_size": 1,
    "init_images": [object()],
    "image_mask": None,
    "inpainting_fill": 0,
    "tiling": None,
    "scripts_value": SimpleNamespace(alwayson_scripts=[SOFT], callback_map={}, selectable_scripts=[]),
    "script_args_value": [None, True, 0.5],
}
MASKED = {"image_mask": object()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"batch_size": 4}, ["Batch size 4"]),
        ({"init_images": [object()] * 3}, ["first of 3"]),
        (MASKED, ["Masked content", "Soft inpainting"]),
        ({**MASKED, "inpainting_fill": 1}, ["Soft inpainting"]),
        ({**MASKED, "inpainting_fill": 1, "script_args_value": [None, False, 0.5]}, []),
        ({"tiling": True}, ["Tiling"]),
    ],
)
def test_it_is_said(values: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "option", lambda key, default: default)
    said = ignored_of(SimpleNamespace(**{**USUAL, **values}))  # type: ignore[arg-type]
    assert len(said) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


def test_tiling_of_the_settings_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "option", lambda key, default: key == "tiling")
    assert len(ignored_of(SimpleNamespace(**USUAL))) == 1  # type: ignore[arg-type]
    assert not ignored_of(SimpleNamespace(**{**USUAL, "tiling": False}))  # type: ignore[arg-type]


def test_soft_inpainting_runs_for_neither_image_nor_tiles() -> None:
    runner: Any = USUAL["scripts_value"]
    for wanted in (True, False):
        assert tile_scripts._filter(runner, lambda script, wanted=wanted: wanted).alwayson_scripts == []  # type: ignore[misc]
