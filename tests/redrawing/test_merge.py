from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.tiles.blending import assemble, blend_across, cut_path, weights
from lib_upscale.redrawing.tiles.filters import gaussian, luma
from lib_upscale.redrawing.tiles.grid import plan_grid
from lib_upscale.settings.redraw import Blend

blends = st.sampled_from(list(Blend))


@given(st.integers(1, 400), st.integers(64, 200), st.integers(0, 99))
def test_linear_weights_sum_to_one(length: int, tile: int, overlap: int) -> None:
    axis = plan_grid(Size(length, 8), native=512, tile=tile, overlap=min(overlap, tile // 2 - 1)).across
    shares = weights(axis)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    for share, origin in zip(shares, axis.origins, strict=True):
        outside = np.r_[share[:origin], share[origin + axis.tile :]]
        assert not outside.any()


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 31), blends, st.integers(0, 9))
def test_tiles_that_agree_give_back_the_picture(w: int, h: int, overlap: int, blend: Blend, seed: int) -> None:
    grid = plan_grid(Size(w, h), native=512, tile=64, overlap=overlap)
    picture = np.random.default_rng(seed).random((grid.canvas.height, grid.canvas.width, 3), dtype=np.float32)
    merged = assemble(grid, lambda t: picture[t.region.rows, t.region.columns], blend)
    np.testing.assert_allclose(merged, picture, atol=1e-6)


@given(st.integers(1, 80), st.integers(1, 30), blends, st.integers(0, 9))
def test_a_merge_starts_as_one_tile_and_ends_as_the_other(width: int, height: int, blend: Blend, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.random((2, height, width, 3), dtype=np.float32)
    merged = blend_across(left, right, blend)
    edge = min(1, width // 8)
    np.testing.assert_allclose(merged[:, :edge], left[:, :edge], atol=0.02)
    np.testing.assert_allclose(merged[:, width - edge :], right[:, width - edge :], atol=0.02)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_the_cut_is_the_cheapest_of_all_paths(height: int, width: int, seed: int) -> None:
    error = np.random.default_rng(seed).random((height, width), dtype=np.float32)

    def cheapest(row: int, column: int) -> float:
        below = [c for c in (column - 1, column, column + 1) if 0 <= c < width]
        return float(error[row, column]) + (min(cheapest(row + 1, c) for c in below) if row + 1 < height else 0.0)

    path = cut_path(error)
    assert np.abs(np.diff(path)).max(initial=0) <= 1
    assert sum(error[row, column] for row, column in enumerate(path)) == pytest.approx(
        min(cheapest(0, c) for c in range(width)), rel=1e-5
    )


def textures(seed: int, agreement: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """The borders across and down of four tiles whose textures agree only in part: (height, width, 3)."""
    rng = np.random.default_rng(seed)
    grid = plan_grid(Size(512, 512), native=256, tile=288)

    def texture(height: int, width: int) -> np.ndarray:
        noise = rng.standard_normal((height, width, 3)).astype(np.float32)
        layers = [gaussian(noise, sigma) * sigma for sigma in (0.6, 1.5, 4.0)]
        return sum(layers) / 3  # type: ignore[return-value]

    common = texture(512, 512)
    tiles = [
        0.5
        + 0.15 * (agreement**0.5 * common[t.region.rows, t.region.columns] + (1 - agreement) ** 0.5 * texture(288, 288))
        + shift * rng.uniform(-1, 1)
        for t in grid.tiles
    ]
    return assemble(grid, lambda t: tiles[t.index].astype(np.float32), blend=textures.blend), common  # type: ignore[attr-defined]


def border_ratio(plane: np.ndarray, position: int) -> float:
    """Gradient at column `position` of a plane in levels over the median of the columns 8 to 40 pixels away."""
    gradient = np.abs(np.diff(plane, axis=1)).mean(axis=0)
    away = np.r_[gradient[position - 40 : position - 8], gradient[position + 8 : position + 40]]
    return float((gradient[position - 2 : position + 2].mean() + 0.25) / (np.median(away) + 0.25))


def detail_at_border(blend: Blend, agreement: float, shift: float = 0.0) -> float:
    """Geometric mean over 8 seeds of the most telling ratio within the overlap, as shared/webui/seams.py counts it."""
    textures.blend = blend  # type: ignore[attr-defined]
    logs = []
    for seed in range(8):
        picture = luma(np.rint(textures(seed, agreement, shift)[0].clip(0, 1) * 255).astype(np.float32))
        logs += [[np.log(border_ratio(plane, p)) for p in range(240, 273)] for plane in (picture, picture.T)]
    mean = np.mean(logs, axis=0)
    return float(np.exp(mean[np.abs(mean).argmax()]))


@pytest.mark.parametrize("blend", [Blend.CUT, Blend.MULTIBAND])
@pytest.mark.parametrize(("agreement", "shift"), [(0.0, 0.0), (0.5, 0.0), (0.9, 0.02)])
def test_no_detail_is_lost_or_added_where_tiles_disagree(blend: Blend, agreement: float, shift: float) -> None:
    assert detail_at_border(blend, agreement, shift) == pytest.approx(1, abs=0.05)


def test_a_plain_cross_fade_does_lose_detail() -> None:
    """What the two other blends are there for; also shows that the measure above sees it."""
    assert detail_at_border(Blend.LINEAR, 0.0) < 0.85
