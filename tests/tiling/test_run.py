"""Whatever the size, the tiles and the memory: the tiled result is the whole-image result."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_upscale.errors import CancelledError, OutOfMemoryError
from lib_upscale.image.geometry import Size
from lib_upscale.progress import Callback
from lib_upscale.tiling.plan import SizeConstraint, smallest_tile
from lib_upscale.tiling.run import TilingConfig, blender_for, run_tiles
from tests.tiling.functions import Nearest, random_pixels, repeated


@st.composite
def tilings(draw: st.DrawFn) -> TilingConfig:
    constraint = SizeConstraint(draw(st.sampled_from([1, 2, 8])), draw(st.sampled_from([1, 24])), draw(st.booleans()))
    overlap = draw(st.integers(0, 24))
    tile = draw(st.integers(smallest_tile(overlap, constraint), 96))
    return TilingConfig(tile, overlap, draw(st.booleans()), constraint, draw(st.integers(1, 5)))


sides = st.integers(1, 130)


def run(pixels: np.ndarray, function: Nearest, tiling: TilingConfig, progress: Callback | None = None) -> np.ndarray:
    canvas = blender_for(Size(pixels.shape[1], pixels.shape[0]), function, tiling, pixels.shape[2], 8)
    run_tiles(pixels, function, canvas, tiling, *([progress] if progress else []))
    return canvas.pixels


@pytest.mark.slow
@given(sides, sides, tilings(), st.sampled_from([1, 2, 3]))
@settings(max_examples=60)
def test_a_nearest_neighbor_network_gives_the_whole_image(w: int, h: int, tiling: TilingConfig, scale: int) -> None:
    pixels = random_pixels(w, h)
    assert np.array_equal(run(pixels, Nearest(scale), tiling), repeated(pixels, scale))


@pytest.mark.slow
@given(sides, sides, tilings(), st.sets(st.integers(1, 12), max_size=3))
@settings(max_examples=60)
def test_any_schedule_of_out_of_memory_gives_the_whole_image(
    w: int, h: int, tiling: TilingConfig, fails: set[int]
) -> None:
    pixels = random_pixels(w, h)
    try:
        result = run(pixels, Nearest(2, fails), tiling)
    except OutOfMemoryError:
        return  # the smallest tile failed too
    assert np.array_equal(result, repeated(pixels, 2))


def test_out_of_memory_halves_the_batch_first_and_keeps_finished_tiles() -> None:
    pixels, tiling = random_pixels(128, 128), TilingConfig(32, 0, batch=4)
    function = Nearest(2, limit=2 * 32 * 32)
    assert np.array_equal(run(pixels, function, tiling), repeated(pixels, 2))
    assert function.batches == [2] * 8


@pytest.mark.slow
def test_out_of_memory_then_makes_tiles_smaller_and_remembers_it() -> None:
    pixels, tiling = random_pixels(128, 128), TilingConfig(64, 8)
    function = Nearest(1, limit=40 * 40)
    canvas = blender_for(Size(128, 128), function, tiling, 3, 8)
    used = run_tiles(pixels, function, canvas, tiling)
    assert np.array_equal(canvas.pixels, pixels)
    assert used.tile <= 40
    assert used.tried


@pytest.mark.slow
def test_no_tile_is_computed_twice_after_out_of_memory() -> None:
    pixels, tiling = random_pixels(128, 64), TilingConfig(32, 0)
    function = Nearest(1, fails={4})
    assert np.array_equal(run(pixels, function, tiling), pixels)
    # three of eight tiles were done; the other five are done as quarters
    assert function.batches == [1] * (3 + 5 * 4)


@pytest.mark.slow
def test_at_the_smallest_tile_the_error_says_what_was_tried() -> None:
    with pytest.raises(OutOfMemoryError, match="tried: 64, 32"):
        run(random_pixels(128, 128), Nearest(2, limit=0), TilingConfig(64, 8, constraint=SizeConstraint(16, 16)))


def test_what_must_not_be_divided_is_not() -> None:
    function = Nearest(2, limit=64 * 64)
    with pytest.raises(OutOfMemoryError):
        run(random_pixels(128, 128), function, TilingConfig(4096, 0, divisible=False))
    assert function.calls == 1


def test_another_error_is_not_taken_for_out_of_memory() -> None:
    class Broken(Nearest):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run(random_pixels(64, 64), Broken(), TilingConfig(32, 0))


@given(sides, sides, tilings(), st.integers(0, 255))
@settings(max_examples=40)
def test_a_constant_stays_constant(w: int, h: int, tiling: TilingConfig, level: int) -> None:
    result = run(np.full((h, w, 3), level, np.uint8), Nearest(2), tiling)
    assert (result == level).all()


@pytest.mark.slow
@given(sides, sides, tilings(), st.sets(st.integers(1, 12), max_size=2))
@settings(max_examples=40)
def test_progress_never_goes_back_and_ends_at_one(w: int, h: int, tiling: TilingConfig, fails: set[int]) -> None:
    seen: list[float] = []

    class Listener:
        def report(self, fraction: float, text: str = "") -> None:
            seen.append(fraction)

        def cancelled(self) -> bool:
            return False

    try:
        run(random_pixels(w, h), Nearest(1, fails), tiling, Listener())  # type: ignore[arg-type]
    except OutOfMemoryError:
        return
    assert seen == sorted(seen)
    assert seen[-1] == 1


@given(st.integers(0, 8))
@settings(max_examples=20)
def test_after_a_cancel_the_network_is_not_called_again(after: int) -> None:
    function = Nearest(2)
    progress = Callback(lambda *_: None, lambda: function.calls >= after)
    with pytest.raises(CancelledError):
        run(random_pixels(128, 128), function, TilingConfig(32, 0), progress)
    assert function.calls == after


def test_sixteen_bits_are_kept() -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (70, 90, 3), dtype=np.uint16)
    for feather in (False, True):
        tiling = TilingConfig(32, 8, feather)
        canvas = blender_for(Size(90, 70), Nearest(2), tiling, 3, 16)
        run_tiles(pixels, Nearest(2), canvas, tiling)
        assert np.array_equal(canvas.pixels, repeated(pixels, 2))


def test_a_batch_with_nan_is_done_again() -> None:
    class Fragile(Nearest):
        recovered = 0

        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            return super().__call__(batch) * (float("nan") if self.calls == 2 else 1)

        def recover(self, batch: torch.Tensor) -> torch.Tensor:
            self.recovered += 1
            return super().__call__(batch)

    function, pixels = Fragile(2), random_pixels(96, 96)
    assert np.array_equal(run(pixels, function, TilingConfig(32, 8)), repeated(pixels, 2))
    assert function.recovered == 1


@pytest.mark.slow
@pytest.mark.parametrize("radius", [1, 3])
@given(sides, sides, st.integers(8, 40))
@settings(max_examples=25)
def test_overlap_of_twice_the_radius_equals_the_whole_image(radius: int, w: int, h: int, tile: int) -> None:
    """A real convolution network whose receptive radius is known."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(radius)]
    network = torch.nn.Sequential(*layers).eval().requires_grad_(False)

    class Convolution(Nearest):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(network(batch))

    pixels = random_pixels(w, h)
    tiling = TilingConfig(max(tile, smallest_tile(2 * radius, SizeConstraint())), 2 * radius)
    whole = TilingConfig(1000, 2 * radius)
    tiled, reference = run(pixels, Convolution(1), tiling), run(pixels, Convolution(1), whole)
    assert np.abs(tiled.astype(int) - reference).max() <= 1


@pytest.mark.parametrize("feather", [False, True])
def test_no_float_copy_of_the_whole_output_is_made(feather: bool) -> None:
    """What is held beyond the result is some rows of tiles, however large the picture is."""
    pixels, tiling = random_pixels(256, 1536), TilingConfig(96, 16, feather)
    function = Nearest(4)
    tracemalloc.start()
    try:
        canvas = blender_for(Size(256, 1536), function, tiling, 3, 8)
        run_tiles(pixels, function, canvas, tiling)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rows = 4 * 2 * 96 * canvas.size.width * 4 * 4
    assert peak < canvas.pixels.nbytes + 2 * rows
    assert canvas.pixels.nbytes * 4 > 2 * rows
