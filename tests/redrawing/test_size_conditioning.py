"""SDXL is told where a tile lies. The expected numbers are of the published formula, written another way."""

from __future__ import annotations

import math

import torch

from lib_upscale.image.geometry import Region
from lib_upscale.redrawing.latent.sdxl_conditioning import with_tile_coordinates


def sinusoid(value: float) -> list[float]:
    angles = [value * 10000 ** (-i / 128) for i in range(128)]
    return [math.cos(a) for a in angles] + [math.sin(a) for a in angles]


def test_crop_and_size_are_the_tile_s_and_the_rest_stays() -> None:
    vector = torch.randn(3, 2816)
    told = with_tile_coordinates(vector, Region(512, 128, 1024, 896))
    assert torch.equal(told[:, :1792], vector[:, :1792]), "text and original size"
    expected = torch.tensor([number for v in (128, 512, 896, 1024) for number in sinusoid(v)])
    assert torch.allclose(told[:, 1792:], expected.expand(3, -1), atol=1e-4)


def test_the_refiner_s_score_stays() -> None:
    vector = torch.randn(1, 2560)
    told = with_tile_coordinates(vector, Region(64, 0, 512, 512))
    assert torch.equal(told[:, 2304:], vector[:, 2304:])
    assert not torch.equal(told[:, 1792:2304], vector[:, 1792:2304])


def test_other_vectors_are_left_alone() -> None:
    vector = torch.randn(2, 1280)
    assert with_tile_coordinates(vector, Region(0, 0, 8, 8)) is vector
