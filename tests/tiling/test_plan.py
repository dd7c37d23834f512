"""Properties of tile plans: they hold for every size, tile, overlap and alignment."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lib_upscale.errors import TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.tiling.plan import Plan, SizeConstraint, plan_tiles, smallest_tile

sizes = st.builds(Size, st.integers(1, 700), st.integers(1, 700))
grains = st.builds(SizeConstraint, st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([1, 16, 48]), st.booleans())


@st.composite
def plans(draw: st.DrawFn, square: bool | None = None) -> tuple[Plan, int, int, SizeConstraint]:
    """A plan that exists, with what it was made of."""
    size, constraint = draw(sizes), draw(grains)
    overlap = draw(st.integers(0, 64))
    tile = draw(st.integers(smallest_tile(overlap, constraint), 400))
    return plan_tiles(size, tile, overlap, constraint), tile, overlap, constraint


@given(plans())
def test_cores_partition_the_picture(made: tuple[Plan, int, int, SizeConstraint]) -> None:
    plan, *_ = made
    assert sum(tile.core.size.pixels for tile in plan) == plan.size.pixels
    for row, nearby in zip(plan.rows, plan.rows[1:], strict=False):
        assert row.core[1] == nearby.core[0]
    for column, nearby in zip(plan.columns, plan.columns[1:], strict=False):
        assert column.core[1] == nearby.core[0]


@given(plans())
def test_tiles_lie_inside_are_aligned_and_not_larger_than_allowed(made: tuple[Plan, int, int, SizeConstraint]) -> None:
    plan, tile, _, constraint = made
    whole = Region.whole(plan.size)
    for each in plan:
        assert whole.contains(each.source)
        assert each.source.contains(each.core)
        assert each.source.x % constraint.align == 0
        assert each.source.y % constraint.align == 0
        assert each.source.width <= plan.tile_size.width <= max(tile, constraint.ceil(1))
        assert each.source.height <= plan.tile_size.height <= max(tile, constraint.ceil(1))
    if plan.single:
        assert plan.tile_size == plan.size, "what is not cut goes in as it is"
        return
    assert plan.tile_size.width % constraint.align == 0
    assert plan.tile_size.height % constraint.align == 0
    assert not constraint.square or plan.tile_size.width == plan.tile_size.height


@given(plans())
def test_every_cut_has_half_the_overlap_on_both_sides(made: tuple[Plan, int, int, SizeConstraint]) -> None:
    plan, _, overlap, _ = made
    for spans, length in ((plan.columns, plan.size.width), (plan.rows, plan.size.height)):
        for left, right in pairwise(spans):
            assert left.source[1] - right.source[0] >= overlap
            cut = left.core[1]
            assert cut - right.source[0] >= overlap // 2
            assert left.source[1] - cut >= overlap // 2
        assert spans[0].source[0] == 0
        assert spans[-1].source[1] == length


@given(plans())
def test_no_slivers(made: tuple[Plan, int, int, SizeConstraint]) -> None:
    """Cores of one axis are about equal: the smallest is no remainder that would look different."""
    plan, _, overlap, constraint = made
    for spans in (plan.columns, plan.rows):
        widths = [end - start for start, end in (span.core for span in spans)]
        inner = widths[1:-1] or widths
        assert max(inner) - min(inner) <= 2 * constraint.align
        assert min(widths) * 2 + 4 * constraint.align + overlap >= max(widths)


@given(sizes, st.integers(1, 100), grains)
def test_the_smallest_tile_named_by_the_error_works(size: Size, overlap: int, constraint: SizeConstraint) -> None:
    needed = smallest_tile(overlap, constraint)
    assume(size.width > needed)
    with pytest.raises(TileTooSmallError) as caught:
        plan_tiles(size, needed - 1, overlap, constraint)
    assert caught.value.smallest == needed
    assert len(plan_tiles(size, needed, overlap, constraint)) > 1


@given(plans(), st.data())
def test_a_part_of_a_picture_is_covered_with_the_same_context(
    made: tuple[Plan, int, int, SizeConstraint], data: st.DataObject
) -> None:
    """After running out of memory the rest is planned anew: its tiles still see beyond the rest's border."""
    plan, tile, overlap, constraint = made
    whole, size = Region.whole(plan.size), plan.size
    left, top = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
    right, bottom = data.draw(st.integers(left + 1, size.width)), data.draw(st.integers(top + 1, size.height))
    region = Region.between(left, top, right, bottom)
    part = plan_tiles(size, tile, overlap, constraint, region)
    assert sum(each.core.size.pixels for each in part) == region.size.pixels
    for each in part:
        assert whole.contains(each.source)
        assert region.contains(each.core)
        assert each.source.contains(each.core.grown(overlap // 2, size))
        # Nothing is made up where the picture has pixels: beyond its border a tile reaches by less than the alignment.
        assert min(part.tile_size.width, size.width) - each.source.width < constraint.align
        assert min(part.tile_size.height, size.height) - each.source.height < constraint.align


def test_a_tile_that_an_odd_overlap_leaves_without_a_pixel_is_left_out() -> None:
    region = Region(1, 0, 1, 1)
    assert [tile.core for tile in plan_tiles(Size(3, 1), 2, 1, SizeConstraint(), region)] == [region]


def test_a_picture_that_fits_is_one_tile_and_is_not_padded() -> None:
    plan = plan_tiles(Size(517, 301), 600, 32)
    assert plan.single
    assert plan.tile_size == Size(517, 301)


@pytest.mark.parametrize("size", [Size(1, 1), Size(100_000, 1), Size(100_000, 100_000)])
def test_extreme_pictures_plan(size: Size) -> None:
    plan = plan_tiles(size, 512, 24, SizeConstraint(8, 16))
    assert plan.rows[-1].core[1] == size.height
    assert plan.columns[-1].core[1] == size.width
    assert len(plan) == len(plan.rows) * len(plan.columns)
