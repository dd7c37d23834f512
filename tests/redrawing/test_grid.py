from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.errors import SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles.grid import LATENT, Axis, Grid, plan_grid

sides = st.integers(1, 5000)


def overlaps(axis: Axis) -> list[int]:
    return [len(axis.shared(i)) for i in range(len(axis.origins) - 1)]


def area(grid: Grid, picture: Size) -> float:
    return len(grid.tiles) * grid.tile.pixels / picture.pixels


@pytest.mark.parametrize(
    ("side", "native", "count", "tile"),
    [(1024, 512, 2, 576), (2048, 512, 4, 576), (2048, 1024, 2, 1152), (512, 512, 1, 512), (600, 512, 1, 640)],
)
def test_an_automatic_tile_covers_a_square_with_least_area(side: int, native: int, count: int, tile: int) -> None:
    grid = plan_grid(Size(side, side), native=native)
    assert (grid.columns, grid.rows, grid.tile) == (count, count, Size(tile, tile))


def test_the_cost_at_2048_stays_below_the_promise() -> None:
    assert area(plan_grid(Size(2048, 2048), native=512), Size(2048, 2048)) <= 1.30


@given(sides, sides, st.sampled_from([512, 768, 1024]), st.none() | st.integers(0, 200))
def test_automatic_tiles(width: int, height: int, native: int, overlap: int | None) -> None:
    grid = plan_grid(Size(width, height), native=native, overlap=overlap)
    check(grid, Size(width, height), overlap)
    for axis, length in ((grid.across, width), (grid.down, height)):
        assert axis.tile % 64 == 0
        assert axis.tile <= 1.3 * native
        assert axis.tile >= 0.85 * native or (len(axis.origins) == 1 and axis.tile < length + 64)


@given(sides, sides, st.integers(64, 2000), st.integers(0, 900), st.sampled_from([8, 64]))
def test_tiles_set_by_hand(width: int, height: int, tile: int, overlap: int, multiple: int) -> None:
    if 2 * overlap >= tile:
        with pytest.raises(SettingsError, match="overlap"):
            plan_grid(Size(width, height), native=512, tile=tile, overlap=overlap, multiple=multiple)
        return
    grid = plan_grid(Size(width, height), native=512, tile=tile, overlap=overlap, multiple=multiple)
    check(grid, Size(width, height), overlap)
    for axis, length in ((grid.across, width), (grid.down, height)):
        assert axis.tile % multiple == 0
        assert tile <= axis.tile < tile + multiple or axis.tile < length + max(multiple, LATENT) + 8


def check(grid: Grid, picture: Size, overlap: int | None) -> None:
    """What holds for every grid: equal tiles that cover the picture, evenly spread, at the latent's multiples."""
    for axis, length, canvas in (
        (grid.across, picture.width, grid.canvas.width),
        (grid.down, picture.height, grid.canvas.height),
    ):
        assert axis.origins[0] == 0
        assert length <= axis.origins[-1] + axis.tile == canvas
        assert all(origin % LATENT == 0 for origin in axis.origins)
        steps = [b - a for a, b in zip(axis.origins, axis.origins[1:], strict=False)]
        assert max(steps, default=0) - min(steps, default=0) <= LATENT
        least = axis.tile // 8 if overlap is None else overlap
        assert min(overlaps(axis), default=least) >= least


@given(st.data(), sides, sides)
def test_a_grid_of_a_part_stays_near_that_part(data: st.DataObject, width: int, height: int) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Region(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    grid = plan_grid(Size(width, height), native=512, within=part)
    assert grid.area.contains(part)
    assert Region.whole(grid.canvas).contains(grid.area)
    assert all(grid.area.contains(tile.region) for tile in grid.tiles)
    assert grid.area.width <= part.width + 64 + 2 * LATENT


def test_too_small_a_tile_is_said_with_the_smallest_that_works() -> None:
    with pytest.raises(TileTooSmallError) as caught:
        plan_grid(Size(512, 512), native=512, tile=56)
    assert caught.value.smallest == 64
