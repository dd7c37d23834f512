"""The radius that is measured is the radius that a network has."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from lib_upscale.errors import CancelledError
from lib_upscale.models.identity import NetworkFacts
from lib_upscale.progress import Callback
from lib_upscale.tiling.plan import SizeConstraint
from lib_upscale.tiling.receptive_field import ReceptiveField, known_receptive_field, measure_receptive_field


@dataclass
class Network:
    """A function over tiles made of a torch module."""

    module: torch.nn.Module
    scale: int = 1
    device: torch.device = torch.device("cpu")
    facts: NetworkFacts = NetworkFacts("Mine", "Mine", "SR", 1, 3, 3)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.module(batch)

    def recover(self, batch: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing here gives NaN")


class Mean(torch.nn.Module):
    """Sees `radius` pixels in every direction, all with equal weight."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        side = 2 * self.radius + 1
        padded = torch.nn.functional.pad(image, [self.radius] * 4)
        return torch.nn.functional.avg_pool2d(padded, side, stride=1)


class Pooled(torch.nn.Module):
    """Every pixel depends on the whole picture, as with channel attention."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * (0.5 + image.mean(dim=(2, 3), keepdim=True))


@pytest.mark.slow
@pytest.mark.parametrize("radius", [1, 4, 11, 20])
def test_the_radius_of_a_known_filter_is_found_with_a_margin(radius: int) -> None:
    reach = measure_receptive_field(Network(Mean(radius)), SizeConstraint(), 256)
    assert reach is not None
    assert reach.radius is not None
    assert radius <= reach.radius <= 1.25 * radius + 3


def test_a_network_with_global_pooling_has_no_radius() -> None:
    assert measure_receptive_field(Network(Pooled()), SizeConstraint(), 256) == ReceptiveField(None)


def test_alignment_is_heeded_while_measuring() -> None:
    class Windows(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            assert image.shape[2] % 8 == 0
            means = torch.nn.functional.avg_pool2d(image, 8)
            return torch.nn.functional.interpolate(means, scale_factor=8)

    assert measure_receptive_field(Network(Windows()), SizeConstraint(8, 16), 256) in (
        ReceptiveField(0),
        ReceptiveField(1),
    )


def test_with_little_memory_it_is_measured_on_a_smaller_picture() -> None:
    class Short(Mean):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.shape[2] > 160:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().forward(image)

    reach = measure_receptive_field(Network(Short(4)), SizeConstraint(), 512)
    assert reach is not None
    assert reach.radius is not None
    assert 4 <= reach.radius <= 8


def test_without_memory_for_it_nothing_is_concluded() -> None:
    class Tiny(Mean):
        timed = 0

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.timed += 1
            if self.timed > 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().forward(image)

    assert measure_receptive_field(Network(Tiny(4)), SizeConstraint(), 512) is None


def test_measuring_can_be_cancelled() -> None:
    with pytest.raises(CancelledError):
        measure_receptive_field(Network(Mean(3)), SizeConstraint(), 256, Callback(lambda *_: None, lambda: True))


def test_what_ships_is_for_the_networks_it_was_measured_on() -> None:
    compact = NetworkFacts("Compact", "Compact", "SR", 4, 3, 3, ("64nf", "16nc"))
    larger = NetworkFacts("Compact", "Compact", "SR", 4, 3, 3, ("64nf", "32nc"))
    assert known_receptive_field(compact, 1) == ReceptiveField(18)
    assert known_receptive_field(larger, 1) is None
    assert known_receptive_field(compact, 2) is None
    assert known_receptive_field(NetworkFacts("HAT", "HAT", "SR", 4, 3, 3), 16) == ReceptiveField(None)
