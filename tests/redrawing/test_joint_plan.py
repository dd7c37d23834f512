"""The latent tiles of the joint method, from settings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.latent.joint_plan import describe_joint, joint_grid, joint_settings
from lib_upscale.redrawing.plan import plan_redraw
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings


@given(
    width=st.integers(8, 700),
    height=st.integers(8, 700),
    tile=st.sampled_from([None, 64, 128, 520]),
    native=st.sampled_from([512, 1024]),
)
def test_tiles_cover_every_latent_and_share_what_is_asked_for(
    width: int, height: int, tile: int | None, native: int
) -> None:
    canvas = Size(width * 8, height * 8)
    joint = joint_settings(canvas, RedrawSettings(tile=tile), native)
    for origins, side, length in zip(joint.origins(Size(width, height)), joint.tile, (width, height), strict=True):
        side = min(side, length)
        assert origins[0] == 0
        assert origins[-1] + side == length
        assert all(b - a <= side - joint.overlap for a, b in pairwise(origins))


def test_a_picture_of_about_the_native_size_is_one_tile() -> None:
    canvas = Size(512, 448)
    joint = joint_settings(canvas, RedrawSettings(), 512)
    assert joint_grid(canvas, joint) == (1, 1, canvas)
    assert describe_joint(canvas, joint) == "one tile of 512x448"


def test_a_large_picture_costs_no_more_than_tiles_one_after_the_other() -> None:
    canvas = Size(2048, 2048)
    columns, rows, tile = joint_grid(canvas, joint_settings(canvas, RedrawSettings(), 512))
    assert columns * rows * tile.pixels <= 1.3 * canvas.pixels


def test_for_controlnet_tiles_begin_where_the_unets_insides_have_whole_pixels() -> None:
    joint = joint_settings(Size(2048, 1216), RedrawSettings(), 512, is_aligned=True)
    assert all(origin % 8 == 0 for origins in joint.origins(Size(256, 152)) for origin in origins)
    settings = RedrawSettings(scale=1.0, method=RedrawMethod.JOINT)
    plan = plan_redraw(Size(2048, 1216), settings, native=512, multiple=8, strength=0.3, is_aligned=True)
    assert plan.passes[0].joint == joint


def test_an_overlap_of_half_a_tile_is_refused() -> None:
    with pytest.raises(SettingsError, match="half"):
        joint_settings(Size(2048, 2048), RedrawSettings(overlap=300), 512)


def test_the_plan_of_a_joint_redraw_is_one_canvas_and_counts_the_latent_tiles() -> None:
    settings = RedrawSettings(scale=2.0, method=RedrawMethod.JOINT, tile=512, overlap=64)
    plan = plan_redraw(Size(500, 511), settings, native=512, multiple=8, strength=0.3)
    (step,) = plan.passes
    assert step.grid.tile == step.grid.canvas == Size(1000, 1024)
    assert plan.tiles == 1
    assert plan.unet_pixels == 9 * 512 * 512
    assert "3x3 tiles of 512x512 denoised together at every step" in plan.describe()
