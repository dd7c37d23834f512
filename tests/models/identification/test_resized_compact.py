"""Compact with a resize at its end, as spandrel's registry sees it."""

from __future__ import annotations

import pytest
import torch
from spandrel import MAIN_REGISTRY, ArchRegistry, UnsupportedModelError
from spandrel.architectures.Compact import Compact

from lib_upscale.models.identification.resized_compact import RESIZED_COMPACT, ResizedCompact


def state(scale: int) -> dict[str, torch.Tensor]:
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1, upscale=4)
    return {**network.state_dict(), "resized_to": torch.zeros(scale)}


def registry() -> ArchRegistry:
    result = ArchRegistry()
    result.add(*MAIN_REGISTRY.architectures(), RESIZED_COMPACT)
    return result


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 16)])
def test_its_result_has_the_announced_size_whatever_the_picture(scale: int, size: tuple[int, int]) -> None:
    model = registry().load(state(scale))
    assert model.architecture.id == "Compact"
    assert model.scale == scale
    assert model.purpose == ("Restoration" if scale == 1 else "SR")
    with torch.inference_mode():
        assert model.model(torch.rand(1, 3, *size)).shape == (1, 3, size[0] * scale, size[1] * scale)


def test_a_tile_inside_computes_what_the_whole_picture_does() -> None:
    """The resize has the same phase at every pixel, so that tiles may begin anywhere."""
    for scale in (2, 3):
        model = registry().load(state(scale)).model
        picture = torch.rand(1, 3, 40, 40)
        with torch.inference_mode():
            whole = model(picture)[:, :, 17 * scale : 23 * scale, 17 * scale : 23 * scale]
            tile = model(picture[:, :, 7:33, 7:33])[:, :, 10 * scale : 16 * scale, 10 * scale : 16 * scale]
        assert (whole - tile).abs().max() < 1e-5


def test_it_survives_half_precision() -> None:
    model = registry().load(state(3)).model.to(torch.bfloat16)
    assert isinstance(model, ResizedCompact)
    assert model(torch.rand(1, 3, 4, 4, dtype=torch.bfloat16)).shape == (1, 3, 12, 12)


def test_without_it_spandrel_does_not_take_the_tensors_for_another_scale() -> None:
    with pytest.raises((RuntimeError, UnsupportedModelError)):
        MAIN_REGISTRY.load(state(2))


def test_an_absurd_scale_is_not_its_kind() -> None:
    assert not RESIZED_COMPACT.detect(state(5000))
    assert not RESIZED_COMPACT.detect({**state(2), "resized_to": torch.zeros(2, 2)})
