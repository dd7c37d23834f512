"""Prompts of tiles under the joint method in a real WebUI: what the image's own prompt may hold, theirs may, too.

The measure is the host's own reading: where every tile has a prompt, the result is that of an image with this prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.webui import test_hires_fix as hires
from tests.webui import test_sd_upscale as script
from tests.webui.server import WebUI

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

EVERYWHERE = "0, 0, 100, 100: "


def of_script(webui: WebUI, prompt: str, own: str, **values: Any) -> NDArray[np.int64]:
    """An image with `prompt`, all of whose tiles have `own` if that is not empty."""
    regions = EVERYWHERE + own if own else ""
    return script.redrawn(webui, method="joint", prompt=prompt, regions=regions, **{"sampler_name": "Euler", **values})


def of_hires_fix(webui: WebUI, prompt: str, own: str, **values: Any) -> NDArray[np.int64]:
    """As `of_script`; the first pass has a prompt of its own."""
    section = {**hires.JOINT, "regions": EVERYWHERE + own if own else ""}
    return hires.drawn(webui, section, hr_prompt=prompt, **values)[0]


@pytest.fixture
def lora(webui: WebUI) -> str:
    if "tiny-lora" not in webui.loras:
        pytest.skip("no LoRA: SD_WEBUI_DATA has no models/Lora/tiny-lora.safetensors")
    return "<lora:tiny-lora:1>"


@pytest.mark.parametrize("draw", [of_script, of_hires_fix])
class TestJoint:
    def test_a_lora_acts_in_text_encoder_and_unet(self, webui: WebUI, draw: Any, lora: str) -> None:
        theirs = draw(webui, f"bricks {lora}", "")
        assert np.abs(theirs - draw(webui, "bricks", "")).max() > 4, "it does nothing, and this proves nothing"
        assert np.abs(draw(webui, "a photo", f"bricks {lora}") - theirs).max() <= 1

    def test_it_takes_the_place_of_the_images_own_and_acts_on_no_other_tile(
        self, webui: WebUI, draw: Any, lora: str
    ) -> None:
        other = lora.replace(":1", ":0.4")
        theirs = draw(webui, f"bricks {lora}", "")
        assert np.abs(draw(webui, f"a photo {other}", f"bricks {lora}") - theirs).max() <= 1
        assert np.abs(draw(webui, f"bricks {lora}", "bricks") - theirs).max() <= 1, "one without has the image's"

    def test_the_image_after_it_is_the_hosts_own(self, webui: WebUI, draw: Any, lora: str) -> None:
        before = draw(webui, "a photo", "")
        draw(webui, "a photo", f"bricks {lora}")
        assert np.array_equal(draw(webui, "a photo", ""), before)


@pytest.mark.parametrize("draw", [of_script, of_hires_fix])
def test_only_the_tiles_of_a_region_have_its_lora(webui: WebUI, draw: Any, lora: str) -> None:
    plain = draw(webui, "bricks", "")
    regions = f"0, 0, 40, 100: bricks {lora}"
    if draw is of_script:
        halves = script.redrawn(webui, method="joint", prompt="bricks", regions=regions, sampler_name="Euler")
    else:
        halves = hires.drawn(webui, {**hires.JOINT, "regions": regions}, hr_prompt="bricks")[0]
    change = np.abs(halves - plain).mean(axis=(0, 2))
    assert change[:80].mean() > 2 * change[-60:].mean()
