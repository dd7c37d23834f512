"""Files with more in them than one network's tensors: numbers that say how to compute, and other networks beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spandrel import ModelLoader

from lib_upscale import UpscaleSettings, identify, plan_and_upscale
from lib_upscale.models.identity import Kind
from tests.helpers import compact, models_in, picture
from tests.models import networks

pytestmark = pytest.mark.filterwarnings("ignore")  # of spandrel's constructors


@pytest.mark.parametrize("pro", [False, True])
def test_real_cugan_pro_is_computed_as_pro(tmp_path: Path, pro: bool) -> None:
    """Published pro models say so by a number beside the tensors (spandrel's pull request 88)."""
    path = tmp_path / "cugan.pth"
    torch.save({**networks.weights("RealCUGAN"), **({"pro": 1} if pro else {})}, path)
    network = identify(path).network
    assert network is not None
    assert ("pro" in network.tags) is pro
    source = picture(48, 40)
    descriptor = ModelLoader().load_from_file(path)
    descriptor.model.eval().float()
    batch = torch.from_numpy(source.pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    expected = descriptor(batch)[0].permute(1, 2, 0).numpy() * 255
    result = plan_and_upscale(source, UpscaleSettings(model="cugan"), models_in(tmp_path)).picture.pixels
    assert np.abs(result - expected).max() <= 1.0


def test_numbers_that_an_architecture_does_not_know_change_nothing(tmp_path: Path) -> None:
    torch.save({**compact(2), "epoch": 7, "best": 0.5}, tmp_path / "trained.pth")
    source = picture(20, 16)
    result = plan_and_upscale(source, UpscaleSettings(model="trained"), models_in(tmp_path)).picture
    assert tuple(result.size) == (40, 32)


@pytest.mark.parametrize(
    "others",
    [
        {"generator_ema.": 2, "generator.": 4, "discriminator.": None, "step_counter": None},
        {"generator.": 2, "perceptual_loss.": None},
        {"module.": 2, "n_averaged": None},
        {"net_g.": 2, "net_d.": None},
    ],
)
def test_the_network_that_is_published_is_found_among_others(tmp_path: Path, others: dict[str, int | None]) -> None:
    """The generator, averaged where there is one: mmagic keeps three in one file, torch's AveragedModel a counter."""
    state: dict[str, torch.Tensor] = {}
    for prefix, scale in others.items():
        weights = compact(scale) if scale else {"conv.weight": torch.zeros(4, 3, 3, 3)}
        if prefix.endswith("."):
            state.update({f"{prefix}{name}": tensor for name, tensor in weights.items()})
        else:
            state[prefix] = torch.zeros(1)
    torch.save({"state_dict": state}, tmp_path / "mixed.pth")
    network = identify(tmp_path / "mixed.pth").network
    assert network is not None
    assert (network.architecture, network.scale) == ("Compact", 2)
    source = picture(20, 16)
    result = plan_and_upscale(source, UpscaleSettings(model="mixed"), models_in(tmp_path)).picture
    torch.save(compact(2), tmp_path / "alone.pth")
    alone = plan_and_upscale(source, UpscaleSettings(model="alone"), models_in(tmp_path)).picture
    assert np.array_equal(result.pixels, alone.pixels)


def test_ldsr_is_named_and_sent_to_its_own_folder(tmp_path: Path) -> None:
    """Its first stage has a codebook, and its UNet sees the small image beside the noise."""
    state = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(16, 6, 3, 3),
        "model.diffusion_model.time_embed.0.weight": torch.zeros(16, 16),
        "first_stage_model.decoder.conv_in.weight": torch.zeros(8, 3, 3, 3),
        "first_stage_model.quantize.embedding.weight": torch.zeros(16, 3),
    }
    torch.save({"state_dict": state, "global_step": 1}, tmp_path / "last.ckpt")
    identity = identify(tmp_path / "last.ckpt")
    assert identity.kind is Kind.LATENT_UPSCALER
    assert "models/LDSR" in str(identity.advice)
    state["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(16, 4, 3, 3)
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    assert identify(tmp_path / "last.ckpt").kind is Kind.STABLE_DIFFUSION
