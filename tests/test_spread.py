"""Property tests for the arithmetic that all tilers share."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.spread import ceil_div, count_tiles, partition, spread


@given(st.data())
def test_spread_covers_evenly_with_the_overlap(data: st.DataObject) -> None:
    multiple = data.draw(st.integers(1, 16))
    overlap = data.draw(st.integers(0, 100))
    tile = overlap + multiple + data.draw(st.integers(0, 200))
    length = data.draw(st.integers(1, 3000))
    origins = spread(length, tile, overlap, multiple, nearest=data.draw(st.booleans()))

    assert len(origins) == count_tiles(length, tile, overlap, multiple)
    assert origins[0] == 0
    assert origins[-1] == max(0, length - tile)
    assert all(origin % multiple == 0 for origin in origins[:-1])
    steps = [after - before for before, after in pairwise(origins)]
    assert all(0 < step <= tile - overlap for step in steps)
    # Evenly: but for the last, which may be cut off by less than a multiple, steps differ by a multiple at most.
    assert max(steps, default=0) - min(steps[:-1], default=max(steps, default=0)) <= multiple
    # As few as possible: one tile less would leave a gap or an overlap that is too small.
    stride = (tile - overlap) // multiple * multiple
    assert len(origins) == 1 or (len(origins) - 2) * stride + tile < length


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_partition_cuts_about_equal_parts(length: int, longest: int) -> None:
    cuts = partition(length, longest)
    parts = [after - before for before, after in pairwise(cuts)]
    assert cuts[0] == 0
    assert sum(parts) == length
    assert len(parts) == ceil_div(length, longest)
    assert max(parts) <= longest
    assert max(parts) - min(parts) <= 1


def test_a_tile_that_can_not_advance_is_refused() -> None:
    with pytest.raises(ValueError, match="can't advance"):
        spread(100, 20, 15, 8)


@pytest.mark.parametrize(("dividend", "divisor", "result"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (-1, 4, 0)])
def test_ceil_div_rounds_up(dividend: int, divisor: int, result: int) -> None:
    assert ceil_div(dividend, divisor) == result
