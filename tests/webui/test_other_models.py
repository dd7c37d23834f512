"""Transformers in a real WebUI, such as Stable Diffusion 3, Flux and Z-Image: 16 channels, patches of 16 pixels.

Each runs where the data folder has a checkpoint with its name in the file's; a small one with random weights will do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.webui.server import WebUI, from_base64
from tests.webui.test_sd_upscale import redrawn

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]

METHODS = ("tiles", "joint")
SIMPLE: dict[str, Any] = {"scheduler": "Simple", "resume": False}
"""Forge Neo's schedule "Automatic" gives numbers that are none for such models, in its own img2img, too."""


@pytest.fixture(params=["sd3", "flux", "z-image"])
def settings(webui: WebUI, request: pytest.FixtureRequest) -> dict[str, str]:
    """Those that choose such a checkpoint."""
    titles = [item["title"] for item in webui.call("/sdapi/v1/sd-models")[1]]
    title = next((title for title in titles if request.param in title.lower()), None)
    if title is None:
        pytest.skip(f"no checkpoint in SD_WEBUI_DATA with {request.param} in its name")
    return {"sd_model_checkpoint": title}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [2.0, 1.7])
def test_the_script_has_its_exact_size(webui: WebUI, settings: dict[str, str], method: str, scale: float) -> None:
    common: dict[str, Any] = {**SIMPLE, "scale": scale, "method": method, "override_settings": settings}
    ours = redrawn(webui, **common)
    assert ours.shape == (round(96 * scale), round(120 * scale), 3)
    assert not np.array_equal(ours, redrawn(webui, **common, seed=6))
    assert np.array_equal(ours, redrawn(webui, **common)), "the encoder's noise is of the seed, too"


@pytest.mark.parametrize("method", METHODS)
def test_tiles_share_the_noise_of_one_canvas(webui: WebUI, settings: dict[str, str], method: str) -> None:
    """What differs where tiles overlap is what they see beyond, not their noise."""
    common: dict[str, Any] = {**SIMPLE, "override_settings": settings, "method": method}
    parts, whole = redrawn(webui, **common), redrawn(webui, **common, tile=512)
    other = redrawn(webui, **common, tile=512, seed=6)
    first = np.s_[:48, :48]  # away from the tiles beside it
    assert np.abs(parts - whole)[first].mean() < 0.5 * np.abs(other - whole)[first].mean()


@pytest.mark.parametrize("method", METHODS)
def test_a_distilled_model_has_no_negative_prompt(webui: WebUI, settings: dict[str, str], method: str) -> None:
    """At a CFG scale of 1 it has no weight, and most hosts do not ask the model for it."""
    common: dict[str, Any] = {**SIMPLE, "override_settings": settings, "method": method, "cfg_scale": 1}
    ours = redrawn(webui, **common)
    assert np.abs(ours - redrawn(webui, **common, negative_prompt="bricks")).max() <= 1
    assert not np.array_equal(ours, redrawn(webui, **common, seed=6))


@pytest.mark.parametrize("method", METHODS)
def test_hires_fix(webui: WebUI, settings: dict[str, str], method: str) -> None:
    body = {
        "prompt": "a photo",
        "steps": 3,
        "seed": 5,
        "width": 128,
        "height": 128,
        "enable_hr": True,
        "hr_scale": 1.75,
        "hr_upscaler": "Lanczos",
        "denoising_strength": 0.6,
        "hr_additional_modules": [],
        "scheduler": "Simple",
        "hr_scheduler": "Simple",
        "sampler_name": "Euler",
        "override_settings": settings,
        "alwayson_scripts": {"hires fix plus": {"args": [{"method": method, "tile": 128, "overlap": 32}]}},
    }
    status, answer = webui.call("/sdapi/v1/txt2img", body)
    assert status == 200, answer
    assert from_base64(answer["images"][0]).size == (224, 224)
