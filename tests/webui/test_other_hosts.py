"""What other hosts do differently, by objects that behave as their sources say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_upscale.image.geometry import Size
from lib_upscale.webui.hires_fix import joint, second_pass
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import console
from lib_upscale.webui.upscalers import hires_check


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"hr_additional_modules": None}, ["Use same choices"]),
        ({"hr_additional_modules": ["vae"]}, ["vae"]),
        ({"hr_additional_modules": []}, []),
        ({"hr_additional_modules": None, "enable_hr": False}, None),
        ({}, None),
    ],
)
def test_forge_is_given_the_modules_that_the_api_left_out(values: dict[str, Any], expected: Any) -> None:
    p: Any = SimpleNamespace(**{"enable_hr": True, **values})
    hires_check.complete_modules(p)
    assert getattr(p, "hr_additional_modules", None) == expected
    assert hasattr(p, "hr_additional_modules") == ("hr_additional_modules" in values)


class ForgeModel:
    """Makes room for the latent before it calls the encoder, as Forge's VAE does."""

    def encode_first_stage(self, images: Tensor) -> Tensor:
        latent = torch.empty(len(images), 3, images.shape[2] // 8, images.shape[3] // 8)
        latent[:] = torch.nn.functional.avg_pool2d(images, 8, ceil_mode=True)
        return latent


class ReforgeModel:
    """Cuts images to multiples of 8 before it calls the encoder, as reForge's VAE does."""

    def encode_first_stage(self, images: Tensor) -> Tensor:
        height, width = (side // 8 * 8 for side in images.shape[2:])
        return torch.nn.functional.avg_pool2d(images[:, :, :height, :width], 8)


@pytest.mark.parametrize("kind", [ForgeModel, ReforgeModel])
@pytest.mark.parametrize("side", [217, 216])
def test_images_are_filled_up_before_the_host_measures_them(kind: type, side: int) -> None:
    model = kind()
    p: Any = SimpleNamespace(sd_model=model, latent_scale_mode=None)
    image = torch.rand(1, 3, side, 200)
    with joint._padded(p, HiresSize(Size(200, side), Size(200, side))):
        latent = model.encode_first_stage(image)
    assert latent.shape[2:] == (-(-side // 8), 25)
    assert torch.allclose(latent[:, :, :27], torch.nn.functional.avg_pool2d(image[:, :, :216], 8))
    assert "encode_first_stage" not in vars(model)


def test_another_size_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    comments: list[str] = []
    monkeypatch.setattr(console, "warn", lambda text: None)
    p: Any = SimpleNamespace(comment=comments.append)
    size = HiresSize(Size(217, 217), Size(217, 217))
    for side in (217, 224):
        assert second_pass._crop(p, torch.rand(3, side, side), size).shape == (3, 217, 217)
    assert not comments
    assert second_pass._crop(p, torch.rand(3, 216, 216), size).shape == (3, 216, 216)
    assert comments == ["The WebUI has made an image of 216x216 instead of 217x217."]
