"""The script in one tile is the host's own img2img of the same size, but for what it does on purpose.

The VAE's encoder draws noise that the host takes from wherever its random numbers stand: it differs from itself each
time. So the checkpoints here are copies whose encoder draws none. `benchmarks/one_tile.py` measures each part.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_upscale.image.geometry import Size
from lib_upscale.image.resampling import resample
from tests.webui.conftest import given_data, real_webui
from tests.webui.server import WebUI, as_base64
from tests.webui.test_sd_upscale import USUAL, picture, pixels, redrawn

pytestmark = pytest.mark.webui

SIDE = 256
NAMES = ("tiny", "tiny-xl")
_ENCODED = "first_stage_model.quant_conv"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI with copies of the checkpoints whose encoder draws nothing."""
    code, python = real_webui()
    given = given_data()
    data, copies = tmp_path_factory.mktemp("quiet"), tmp_path_factory.mktemp("copies")
    checkpoints = copies / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True)
    (data / "models").mkdir()
    for folder, name in ((copies, "hf"), (data, "models/VAE-approx")):  # live previews of SDXL want the latter
        if (given / name).is_dir():
            (folder / name).symlink_to((given / name).resolve(), target_is_directory=True)
    for name in NAMES:
        if (file := given / "models" / "Stable-diffusion" / f"{name}.safetensors").is_file():
            write_quiet(file, checkpoints)
    server = WebUI(code, python, data, copies)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(copies, ignore_errors=True)


def write_quiet(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint with a variance of e^-30 for all that its encoder draws."""
    tensors = load_file(checkpoint)
    bias, weight = f"{_ENCODED}.bias", f"{_ENCODED}.weight"
    for name in (bias, weight):
        tensors[name] = tensors[name].clone()
    channels = len(tensors[bias]) // 2
    tensors[weight][channels:] = 0
    tensors[bias][channels:] = -30
    save_file(tensors, folder / checkpoint.name)
    shutil.copy(checkpoint.with_suffix(".yaml"), folder)


@pytest.fixture(params=NAMES)
def settings(quiet: WebUI, request: pytest.FixtureRequest) -> dict[str, str]:
    titles = [item["title"] for item in quiet.call("/sdapi/v1/sd-models")[1]]
    title = next((title for title in titles if title.startswith(f"{request.param}.safetensors")), None)
    if title is None:
        pytest.skip(f"no checkpoint {request.param} in SD_WEBUI_DATA")
    return {"sd_model_checkpoint": title}


def redrawn_by_host(webui: WebUI, image: Image.Image, settings: dict[str, Any]) -> NDArray[np.int64]:
    usual = {key: USUAL[key] for key in ("prompt", "steps", "denoising_strength", "sampler_name", "seed")}
    sizes = {"width": SIDE, "height": SIDE, "override_settings": settings}
    status, answer = webui.call("/sdapi/v1/img2img", {**usual, "init_images": [as_base64(image)], **sizes})
    assert status == 200, answer
    return pixels(answer["images"][0])


@pytest.mark.parametrize("method", ["tiles", "joint"])
def test_it_is_the_hosts_own_img2img(quiet: WebUI, settings: dict[str, Any], method: str) -> None:
    image = picture(SIDE, SIDE)
    host = redrawn_by_host(quiet, image, settings)
    again = redrawn_by_host(quiet, image, settings)
    assert np.abs(again - host).max() <= 1, "the encoder still draws noise"
    ours = redrawn(quiet, image, scale=1.0, tile=SIDE, method=method, override_settings=settings, resume=False)
    assert np.abs(ours - host).max() <= 1


@pytest.mark.parametrize("method", ["tiles", "joint"])
def test_enlarged_it_is_the_hosts_own_of_the_enlarged_image(
    quiet: WebUI, settings: dict[str, Any], method: str
) -> None:
    half = picture(SIDE // 2, SIDE // 2)
    ours = redrawn(quiet, half, scale=2.0, tile=SIDE, method=method, override_settings=settings, resume=False)
    enlarged = Image.fromarray(resample(np.asarray(half), Size(SIDE, SIDE)))
    assert np.abs(ours - redrawn_by_host(quiet, enlarged, settings)).max() <= 2, "ours is encoded with 16 bits"
