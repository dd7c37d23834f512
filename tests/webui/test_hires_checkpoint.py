"""A second pass of hires fix with another checkpoint in a real WebUI: its tiles are drawn with that one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.webui.server import WebUI
from tests.webui.test_hires_fix import TILES, WHOLE, ask, drawn

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

ONE_TILE: dict[str, Any] = {**WHOLE, "method": "tiles", "color_lock": "off"}


@pytest.fixture
def other(webui: WebUI) -> str:
    """A checkpoint that is not the chosen one."""
    status, answer = ask(webui, enable_hr=False)
    assert status == 200, answer
    chosen = json.loads(answer["info"])["sd_model_name"]
    titles = {model["model_name"]: str(model["title"]) for model in webui.call("/sdapi/v1/sd-models")[1]}
    if chosen in titles:  # Neo's setting is empty at its start, and what is empty it takes for any checkpoint
        webui.call("/sdapi/v1/options", {"sd_model_checkpoint": titles[chosen]})
    names = [title for name, title in titles.items() if name != chosen and "tiny" in name]
    if not names:
        pytest.skip("one checkpoint only: make SD_WEBUI_DATA by fixture.py with --second")
    return names[0]


def test_in_one_tile_it_is_the_hosts_own_image(webui: WebUI, other: str) -> None:
    first, theirs = drawn(webui)[0], drawn(webui, hr_checkpoint_name=other)[0]
    assert np.abs(theirs - first).mean() > 1, "the other checkpoint draws the same, and this proves nothing"
    assert np.abs(drawn(webui, ONE_TILE, hr_checkpoint_name=other)[0] - theirs).max() <= 1


def test_the_first_pass_of_the_next_batch_and_the_next_image_have_the_first(webui: WebUI, other: str) -> None:
    plain, theirs = drawn(webui)[0], drawn(webui, hr_checkpoint_name=other, n_iter=2)[-2:]
    ours = drawn(webui, ONE_TILE, hr_checkpoint_name=other, n_iter=2)[-2:]
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(ours, theirs, strict=True))
    assert np.array_equal(drawn(webui)[0], plain)


def test_several_tiles_are_nearer_to_the_hosts_own_than_to_the_first_checkpoints(webui: WebUI, other: str) -> None:
    theirs, first = drawn(webui, hr_checkpoint_name=other)[0], drawn(webui, TILES)[0]
    ours = drawn(webui, TILES, hr_checkpoint_name=other)[0]
    assert np.abs(ours - theirs).mean() < np.abs(ours - first).mean()
