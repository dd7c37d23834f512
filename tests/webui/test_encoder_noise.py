"""What the VAE's encoder draws for tiles: windows of one noise for the canvas, another one each time it draws."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lib_upscale.image.geometry import Region
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
