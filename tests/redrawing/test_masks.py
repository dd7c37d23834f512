"""Where a mask is, told without making it as large as the picture: as if it had been."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing import count_masked
from lib_upscale.redrawing.plan import plan_redraw
from lib_upscale.redrawing.tiles.filters import Plane, reflect_pad, resize
from lib_upscale.redrawing.tiles.masks import Footprint
from lib_upscale.settings.redraw import RedrawSettings


def spots(width: int, height: int, seed: int) -> Plane:
    rng = np.random.default_rng(seed)
    mask: Plane = np.where(rng.random((height, width)) > 0.96, rng.random((height, width)), 0).astype(np.float32)
    return mask


@st.composite
def sizes(draw: st.DrawFn, side: int) -> int:
    """A side that another of `side` is resized to: also a multiple, or the same."""
    return draw(st.one_of(st.integers(1, 300), st.integers(1, 6).map(lambda factor: factor * side)))


@given(data=st.data(), width=st.integers(1, 60), height=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_it_is_what_the_resized_mask_says(data: st.DataObject, width: int, height: int, seed: int) -> None:
    size = Size(data.draw(sizes(width)), data.draw(sizes(height)))
    mask = spots(width, height, seed)
    large = resize(mask, size) > 0
    footprint = Footprint(mask, size)
    left, top = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
    right, bottom = data.draw(st.integers(left + 1, size.width)), data.draw(st.integers(top + 1, size.height))
    region = Region.between(left, top, right, bottom)
    part = large[region.rows, region.columns]
    assert footprint.touches(region) == part.any()
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    bounds = footprint.bounds(region)
    if bounds is None:
        assert not len(rows)
    else:
        assert [bounds.x - left, bounds.right - left - 1] == columns[[0, -1]].tolist()
        assert [bounds.y - top, bounds.bottom - top - 1] == rows[[0, -1]].tolist()


@given(
    width=st.integers(5, 90),
    height=st.integers(5, 90),
    values=st.sampled_from([{"scale": 2.0}, {"scale": 3.3}, {"width": 150, "height": 101, "fit": "cover"}]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_over_the_reflected_edge_count_as_the_canvas_has_them(
    width: int, height: int, values: dict[str, object], seed: int
) -> None:
    mask = spots(width, height, seed)
    mask[height // 2, width // 2] = 1  # what is cut off lies outside
    settings = RedrawSettings.from_dict({"tile": 64, "overlap": 8, "mask_padding": 0, **values})
    plan = plan_redraw(Size(width, height), settings, native=64, multiple=8, strength=0.3, mask=mask)
    (step,) = plan.passes
    canvas = reflect_pad(step.cut(resize(mask, step.enlarged)), step.grid.canvas)
    touched = sum(bool(canvas[tile.region.rows, tile.region.columns].any()) for tile in step.grid.tiles)
    assert count_masked(mask, plan) == [touched]
