from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.latent.canvas_noise import BrownianNoise, CanvasNoise, latent_region, replay
from lib_upscale.redrawing.tiles.grid import plan_grid


def seeded(draw: int) -> torch.Tensor:
    return torch.randn(4, 40, 50, generator=torch.Generator().manual_seed(draw))


@given(st.integers(0, 6))
def test_neighbors_have_the_same_noise_where_they_overlap(draw: int) -> None:
    grid = plan_grid(Size(400, 320), native=128)
    noise = CanvasNoise(seeded)
    whole = seeded(draw)
    for tile in grid.tiles:
        place = latent_region(tile.region)
        assert torch.equal(noise.window(draw, place), whole[:, place.rows, place.columns])


@given(st.permutations(range(5)), st.sampled_from([0, 40_000, 1 << 20]))
def test_draws_do_not_depend_on_which_were_asked_for_before(order: list[int], keep: int) -> None:
    def start():  # type: ignore[no-untyped-def]
        generator = torch.Generator().manual_seed(7)
        return lambda: torch.randn(4, 40, 50, generator=generator)

    expected = [draw() for draw in [start()] for _ in range(5)]
    noise = CanvasNoise(replay(start), keep)
    place = Region(3, 5, 8, 8)
    for draw in [*order, *order]:
        assert torch.equal(noise.window(draw, place), expected[draw][:, 5:13, 3:11])


def test_a_sampler_gets_the_draws_one_by_one_for_its_batch() -> None:
    places = (Region(0, 0, 8, 8), Region(20, 10, 8, 8))
    batch = CanvasNoise(seeded).for_batch(places)
    drawn = [batch.first(), batch.next(), batch.next()]
    assert torch.equal(drawn[2][1], seeded(2)[:, 10:18, 20:28])
    assert torch.equal(batch.first(), drawn[0])


def test_brownian_noise_is_one_canvas_for_all_tiles() -> None:
    asked = []

    def between(sigma: float, sigma_next: float) -> torch.Tensor:
        asked.append((sigma, sigma_next))
        return seeded(int(sigma * 10))

    noise = BrownianNoise(between)
    one = noise.for_batch([Region(0, 0, 16, 16)])(1.5, 0.5)
    other = noise.for_batch([Region(8, 8, 16, 16)])(1.5, 0.5)
    assert torch.equal(one[0, :, 8:, 8:], other[0, :, :8, :8])
    assert asked == [(1.5, 0.5)]


def test_a_window_outside_is_a_mistake_and_not_a_smaller_window() -> None:
    with pytest.raises(ValueError, match="does not lie in"):
        CanvasNoise(seeded).window(0, Region(45, 0, 8, 8))
    with pytest.raises(ValueError, match="multiples"):
        latent_region(Region(4, 0, 8, 8))
