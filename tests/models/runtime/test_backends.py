"""Other ways to run a network give the same picture, or say what is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_upscale.errors import SettingsError
from lib_upscale.image.picture import Picture
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.backends import accelerator
from lib_upscale.settings.upscale import Backend, UpscaleSettings
from lib_upscale.upscaling.run import plan_and_upscale
from tests.helpers import compact, models_in, picture, write

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("onnx") is None, reason="openvino and onnx are not installed"
)


def run(source: Picture, chosen: UpscaleSettings, models: Models) -> Picture:
    return plan_and_upscale(source, chosen, models).picture


@needs_openvino
def test_openvino_gives_the_same_picture(tmp_path: Path) -> None:
    write(tmp_path / "net.safetensors", compact(2))
    models = models_in(tmp_path)
    usual = UpscaleSettings(model="net", tile=48)
    fast = usual.changed(backend=Backend.OPENVINO)
    source = picture(70, 50)
    difference = run(source, usual, models).pixels.astype(int) - run(source, fast, models).pixels
    assert np.abs(difference).max() <= 1


@needs_openvino
def test_openvino_on_a_real_transformer(shared_models: Path) -> None:
    models = models_in(shared_models)
    source, usual = picture(32, 32), UpscaleSettings(model="DAT_light_x4")
    difference = (
        run(source, usual, models).pixels.astype(int)
        - run(source, usual.changed(backend=Backend.OPENVINO), models).pixels
    )
    assert np.abs(difference).max() <= 1


def test_without_openvino_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_upscale.models.runtime.backends.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install"):
        accelerator("openvino", torch.device("cpu"))
    assert accelerator("torch", torch.device("cpu")) is None


def test_openvino_beside_a_graphics_card_says_that_it_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_upscale.models.runtime.backends.find_spec", lambda name: object())
    with pytest.raises(SettingsError, match="runs on a CPU, not on cuda: set the device to cpu"):
        accelerator("openvino", torch.device("cuda"))
