"""The networks of resselt as they are run here, against themselves: the same image, at odd and at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lib_upscale import UpscaleSettings, plan_and_upscale
from lib_upscale.image.picture import Picture
from lib_upscale.models.identification.resselt import is_installed
from lib_upscale.models.runtime.loader import load_network
from tests.helpers import models_in
from tests.models import networks, resselt_networks
from tests.models.checkpoints import safetensors_bytes
from tests.models.resselt_networks import VARIANTS, Variant

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of constructors
    pytest.mark.skipif(not is_installed(), reason="resselt is not installed"),
    pytest.mark.slow,
]

ALL = [
    pytest.param(name, variant, id=f"{name}-{i}") for name, some in VARIANTS.items() for i, variant in enumerate(some)
]


def image(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(1, 3, -(-height // 3), -(-width // 3), generator=generator)
    return functional.interpolate(coarse, size=(height, width), mode="bilinear")


@pytest.mark.parametrize(("architecture", "variant"), ALL)
def test_the_result_is_the_networks_own(tmp_path: Path, architecture: str, variant: Variant) -> None:
    network = resselt_networks.with_weights(variant)
    state = dict(network.state_dict())
    paths = [networks.save(tmp_path / "a.pth", state, "params_ema"), tmp_path / "b.safetensors"]
    paths[1].write_bytes(safetensors_bytes({name: tensor.contiguous().clone() for name, tensor in state.items()}))
    network.eval()
    for path in paths:
        loaded = load_network(path)
        assert not loaded.model.training
        assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
        for height, width in ((64, 64), (37, 45), (40, 33)):
            batch = image(height, width)
            before = batch.clone()
            result = loaded(batch)
            assert result.shape == (1, 3, height * variant.scale, width * variant.scale)
            assert torch.equal(result, variant.call(network, before.clone())), (path.name, height, width)


@pytest.mark.parametrize(("architecture", "variant"), ALL)
def test_an_image_of_any_size_comes_out_in_its_size(tmp_path: Path, architecture: str, variant: Variant) -> None:
    networks.save(tmp_path / "some.pth", dict(resselt_networks.with_weights(variant).state_dict()))
    models = models_in(tmp_path)
    for height, width in ((1, 1), (2, 7), (5, 3), (19, 24)):
        pixels = (image(height, width)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        result = plan_and_upscale(Picture(pixels), UpscaleSettings(model="some"), models).picture
        assert result.pixels.shape == (height * variant.scale, width * variant.scale, 3)


@pytest.mark.parametrize(("architecture", "variant"), ALL)
def test_another_layout_of_memory_changes_nothing(tmp_path: Path, architecture: str, variant: Variant) -> None:
    """As the cache prepares it: fused once, its weights in channels_last; and after a second look at another image."""
    network = resselt_networks.with_weights(variant)
    path = networks.save(tmp_path / "some.pth", dict(network.state_dict()))
    network.eval()
    models = models_in(tmp_path)
    model = models.cache.get(models.find(path.stem).identity, "full")
    for height, width in ((37, 45), (64, 48), (37, 45)):
        batch = image(height, width)
        before = batch.clone()
        assert float((model(batch) - variant.call(network, before.clone())).abs().max()) * 255 <= 0.05
        assert torch.equal(batch, before), "what goes in stays as it was"


@pytest.mark.parametrize("architecture", ["SPANPlus", "SPANPP", "MoSRv2", "SMoSR", "RTMoSR", "FlexNet", "RHA"])
def test_tiles_give_the_whole_image(tmp_path: Path, architecture: str) -> None:
    """Where a network sees only so far, and has windows and unshuffles that tiles must be aligned to."""
    variant = VARIANTS[architecture][0 if architecture != "RTMoSR" else 1]
    networks.save(tmp_path / "some.pth", dict(resselt_networks.with_weights(variant).state_dict()))
    models = models_in(tmp_path)
    pixels = (image(250, 261)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    plain, tiles = UpscaleSettings(model="some", tile=512), UpscaleSettings(model="some", tile=128)
    whole = plan_and_upscale(Picture(pixels), plain, models).picture.pixels
    tiled = plan_and_upscale(Picture(pixels), tiles, models)
    assert (tiled.plan.passes[0].tiles or 0) > 1
    assert int(np.abs(tiled.picture.pixels.astype(int) - whole.astype(int)).max()) <= 1
