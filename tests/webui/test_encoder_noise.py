"""What the VAE's encoder draws for tiles: windows of one noise for the canvas, another one each time it draws."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from lib_upscale.image.geometry import Region, Size
from lib_upscale.webui.hires_fix import tiles
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import model
from lib_upscale.webui.tiled_sampling import canvas_rng
from lib_upscale.webui.tiled_sampling.canvas_rng import CanvasRandom, Seeds

REGIONS = (Region(0, 0, 4, 4), Region(2, 4, 4, 4))
"""In latent pixels, on a canvas of 8x8."""


@pytest.fixture
def distributions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the host's module whose `torch.randn` the encoder calls."""
    module = SimpleNamespace(torch=torch)
    monkeypatch.setattr(canvas_rng, "distribution_modules", lambda: [module])
    return module


def windows(noise: torch.Tensor) -> torch.Tensor:
    return torch.stack([noise[:, region.rows, region.columns] for region in REGIONS])


def test_a_model_for_inpainting_has_another_noise_for_the_masked_image(distributions: Any) -> None:
    given = (torch.randn(4, 8, 8), torch.randn(4, 8, 8))
    random = CanvasRandom(Seeds(1, encoder=given), (4, 8, 8)).for_batch(REGIONS)
    with random.in_encoder():
        image = torch.cat([distributions.torch.randn((1, 4, 4, 4)) for _ in REGIONS])  # one by one, as the host does
        masked = distributions.torch.randn((2, 4, 4, 4))
        further = distributions.torch.randn((2, 4, 4, 4))
    assert torch.equal(image, windows(given[0]))
    assert torch.equal(masked, windows(given[1]))
    assert not torch.equal(further, masked)
    assert distributions.torch is torch


def test_stable_diffusion_3_draws_by_the_shape_of_a_tensor(distributions: Any) -> None:
    given = torch.randn(16, 8, 8)
    random = CanvasRandom(Seeds(1, encoder=(given,)), (16, 8, 8)).for_batch(REGIONS)
    with random.in_encoder():
        drawn = [distributions.torch.randn_like(torch.zeros(1, 16, 4, 4, dtype=torch.float64)) for _ in REGIONS]
        other = distributions.torch.randn_like(torch.zeros(1, 3, 5, 5))
    assert torch.equal(torch.cat(drawn).float(), windows(given))
    assert drawn[0].dtype == torch.float64
    assert other.shape == (1, 3, 5, 5)


def test_where_none_is_given_tiles_that_overlap_have_the_same(distributions: Any) -> None:
    for draws in (1, 2):
        canvas = CanvasRandom(Seeds(7), (4, 8, 8))
        found = []
        for region in REGIONS:
            with canvas.for_batch((region,)).in_encoder():
                found.append([distributions.torch.randn((1, 4, 4, 4))[0] for _ in range(draws)][-1])
        first, second = found
        assert not torch.equal(first, second)
        corner = Region(2, 2, 2, 2)
        with canvas.for_batch((Region(0, 2, 4, 4),)).in_encoder():
            between = [distributions.torch.randn((1, 4, 4, 4))[0] for _ in range(draws)][-1]
        assert torch.equal(between[:, :2, :], first[:, 2:, :])
        assert torch.equal(between[:, corner.rows, corner.columns], second[:, :2, :2])


def moved(host: Any, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """The host's `DiagonalGaussianDistribution.sample`."""
    noise: torch.Tensor = host.torch.randn(mean.shape).to(device=mean.device)
    return mean + std * noise


def placed(host: Any, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """That of reForge."""
    noise: torch.Tensor = host.torch.randn(mean.shape, device=mean.device)
    return mean + std * noise


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("ldm.modules.distributions.distributions", moved),
        ("sgm.modules.distributions.distributions", moved),
        ("backend.nn.vae", moved),
        ("ldm_patched.ldm.modules.distributions.distributions", moved),
        ("ldm_patched.ldm.modules.distributions.distributions", placed),
    ],
    ids=["AUTOMATIC1111", "AUTOMATIC1111 with SDXL", "Forge and Neo", "Classic", "reForge"],
)
def test_the_encoder_of_every_host_draws_windows(name: str, sample: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = ModuleType(name)
    host.torch = torch
    monkeypatch.setitem(sys.modules, name, host)
    given = torch.randn(4, 8, 8)
    random = CanvasRandom(Seeds(1, encoder=(given, given)), (4, 8, 8)).for_batch(REGIONS)
    with random.in_encoder():
        drawn = sample(host, torch.full((2, 4, 4, 4), 3.0), torch.full((2, 4, 4, 4), 2.0))
        elsewhere = torch.zeros((2, 4, 4, 4), device="meta")
        assert sample(host, elsewhere, elsewhere).device == elsewhere.device, (
            "a graphics card, or what stands in for it"
        )
    assert torch.equal(drawn, 3 + 2 * windows(given))


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        (SimpleNamespace(), (4, 24, 32)),
        (SimpleNamespace(latent_channels=16), (16, 24, 32)),
        (SimpleNamespace(forge_objects=SimpleNamespace(vae=SimpleNamespace(latent_channels=16))), (16, 24, 32)),
        (
            SimpleNamespace(is_wan=True, forge_objects=SimpleNamespace(vae=SimpleNamespace(latent_channels=16))),
            (16, 1, 24, 32),
        ),
    ],
    ids=["SD 1", "SD 3 in AUTOMATIC1111", "Flux in Forge", "Wan in Neo"],
)
def test_in_hires_fix_it_has_the_channels_of_the_model(
    loaded: Any, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (model, tiles):
        monkeypatch.setattr(module, "loaded_model", lambda: loaded)
    size = Size(250, 192)
    noises = tiles._encoder_noises(HiresSize(size, size), 2)
    assert [[tuple(noise.shape) for noise in image] for image in noises] == [[expected]] * 2
