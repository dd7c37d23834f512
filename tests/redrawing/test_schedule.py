from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.tiles.grid import Grid, plan_grid
from lib_upscale.redrawing.tiles.order import batches, stages
from lib_upscale.settings.redraw import TileContext, TileOrder

grids = st.builds(
    lambda w, h: plan_grid(Size(w, h), native=512, tile=64, overlap=8), st.integers(1, 500), st.integers(1, 500)
)


@given(grids, st.sampled_from(list(TileOrder)), st.sampled_from(list(TileContext)))
def test_every_tile_comes_once(grid: Grid, order: TileOrder, mode: TileContext) -> None:
    tiles = [tile for stage in stages(grid, order, mode) for tile in stage]
    assert sorted(t.index for t in tiles) == list(range(len(grid.tiles)))


@given(grids)
def test_tiles_of_one_color_share_no_side(grid: Grid) -> None:
    groups = stages(grid, TileOrder.CHECKERBOARD, TileContext.SEQUENTIAL)
    assert len(groups) == min(2, len(grid.tiles))
    for group in groups:
        places = {(t.column, t.row) for t in group}
        assert not any((c + 1, r) in places or (c, r + 1) in places for c, r in places)


@given(grids)
def test_a_spiral_goes_outwards_from_the_middle_tile(grid: Grid) -> None:
    tiles = [stage[0] for stage in stages(grid, TileOrder.SPIRAL, TileContext.SEQUENTIAL)]
    assert tiles[0] == grid.middle
    rings = [max(abs(t.column - grid.middle.column), abs(t.row - grid.middle.row)) for t in tiles]
    assert rings == sorted(rings)


def test_a_whole_ring_of_a_spiral_is_walked_from_neighbor_to_neighbor() -> None:
    grid = plan_grid(Size(280, 280), native=512, tile=64, overlap=8)
    tiles = [stage[0] for stage in stages(grid, TileOrder.SPIRAL, TileContext.SEQUENTIAL)]
    assert len(tiles) == 25
    ring = [(t.column, t.row) for t in tiles[9:]]
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in itertools.pairwise(ring))


@given(st.lists(st.integers(0, 3)), st.integers(1, 5))
def test_batches_hold_equal_keys_in_order(keys: list[int], size: int) -> None:
    jobs = list(enumerate(keys))
    made = list(batches(jobs, size, lambda job: job[1]))
    assert [job for batch in made for job in batch] == jobs
    for batch, following in itertools.zip_longest(made, made[1:], fillvalue=None):
        assert batch is not None
        assert 0 < len(batch) <= size
        assert len({key for _, key in batch}) == 1
        assert not following or len(batch) == size or batch[0][1] != following[0][1]
