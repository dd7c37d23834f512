"""Tiles denoised together: what merging predictions must and must not do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib_upscale.errors import CancelledError, OutOfMemoryError, SettingsError, TileTooSmallError
from lib_upscale.image.geometry import Region, Size
from lib_upscale.progress import Callback
from lib_upscale.redrawing.latent.joint_denoiser import (
    JointDenoiser,
    JointSettings,
    LatentTile,
    tile_weights,
)

Crop = Callable[[Tensor], Tensor]
sizes = st.builds(Size, st.integers(1, 60), st.integers(1, 60))


@st.composite
def plans(draw: st.DrawFn) -> JointSettings:
    tile = Size(draw(st.integers(2, 24)), draw(st.integers(2, 24)))
    overlap = draw(st.integers(0, min(tile) - 1))
    align = draw(st.integers(1, min(4, min(tile) - overlap)))
    return JointSettings(tile, overlap, draw(st.integers(1, 5)), draw(st.booleans()), draw(st.integers(0, 9)), align)


def noise(size: Size, batch: int = 2, channels: int = 4) -> Tensor:
    return torch.randn(batch, channels, size.height, size.width, generator=torch.Generator().manual_seed(3))


def sigmas(value: float, batch: int = 2) -> Tensor:
    return torch.full((batch,), value)


def linear(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
    return 3 * x + sigma[:, None, None, None]


@given(plans(), sizes, st.floats(0.01, 15))
def test_pointwise_model_gives_what_the_whole_gives(settings: JointSettings, size: Size, sigma: float) -> None:
    x = noise(size)
    result = JointDenoiser(linear, settings)(x, sigmas(sigma))
    torch.testing.assert_close(result, 3 * x + sigma, atol=1e-4, rtol=1e-5)


@given(plans(), sizes)
def test_a_latent_of_one_frame_is_cut_like_one_without(settings: JointSettings, size: Size) -> None:
    """Models of video (Wan, Qwen Image) have latents with frames, and an image is one frame."""

    def model(x: Tensor, _: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        assert x.shape[-2:] == (tiles[0].region.height, tiles[0].region.width)
        return x * crop(hint if x.dim() == 4 else hint[:, :, None]) + x.mean(dim=(-2, -1), keepdim=True)

    x, hint = noise(size), noise(size, batch=1)
    flat = JointDenoiser(model, settings)(x, sigmas(1.0))
    framed = JointDenoiser(model, settings)(x[:, :, None], sigmas(1.0))
    assert framed.shape == (2, 4, 1, size.height, size.width)
    torch.testing.assert_close(framed[:, :, 0], flat)


@given(plans(), sizes, st.floats(-3, 3))
def test_constant_stays_constant(settings: JointSettings, size: Size, value: float) -> None:
    constant = JointDenoiser(lambda x, *_: torch.full_like(x, value), settings)
    result = constant(noise(size), sigmas(1.0))
    assert (result - value).abs().max() <= 1e-5


@given(plans(), sizes, st.floats(0.01, 15))
def test_grid(settings: JointSettings, size: Size, sigma: float) -> None:
    """Tiles cover the latent, lie inside, begin in order, overlap as asked, and as many as without a shift."""
    least = settings.overlap // 2 if settings.shift else settings.overlap
    still, moved = settings.origins(size), settings.origins(size, sigma)
    for axis, (length, side) in enumerate(zip(size, settings.tile, strict=True)):
        origins = moved[axis]
        assert len(origins) == len(still[axis])
        assert (origins[0], origins[-1]) == (0, max(0, length - side))
        for left, right in pairwise(origins):
            assert left < right
            assert left + side - right >= least
        assert all(origin % settings.align == 0 for origin in origins[:-1])


@given(plans(), sizes)
def test_weights_sum_to_one(settings: JointSettings, size: Size) -> None:
    for origins, length, side in zip(settings.origins(size), size, settings.tile, strict=True):
        side = min(side, length)
        weights = tile_weights(origins, side, torch.device("cpu"))
        total = torch.zeros(length)
        for origin, weight in zip(origins, weights, strict=True):
            total[origin : origin + side] += weight
        torch.testing.assert_close(total, torch.ones(length), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(64, 64), (32, 512), (4096, 16), (2048, 2048)])
def test_weights_never_underflow(shape: tuple[int, int]) -> None:
    across, down = (tile_weights((0, side - side // 8), side, torch.device("cpu")) for side in shape)
    plane = down[0][:, None] * across[0]
    assert plane.min() > 1e-30
    assert (plane <= 1).all()


def test_gaussian_weights_leave_no_step() -> None:
    """At the border of a tile its weight is near nothing, so that it fades in."""
    weights = tile_weights((0, 56), 64, torch.device("cpu"))
    assert weights[0, -1] < 0.01
    assert weights[0, -4] == pytest.approx(0.5, abs=0.2)
    assert weights[0, 20] == 1


def test_one_tile_is_the_model_itself() -> None:
    seen: list[object] = []
    hint = torch.rand(1, 3, 80, 64)

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        seen.extend([x, sigma, crop(hint)])
        return x.half()

    x, sigma = noise(Size(8, 10)), sigmas(2.0)
    result = JointDenoiser(inner, JointSettings(Size(16, 16), 4))(x, sigma)
    assert seen[0] is x
    assert seen[1] is sigma
    assert seen[2] is hint
    assert result.dtype is torch.float16


def test_conditioning_follows_the_tile() -> None:
    size = Size(20, 28)
    x = noise(size, batch=2)
    mask, hint, prompt = noise(size, 2, 1), torch.rand(1, 3, 28 * 8, 20 * 8), torch.rand(2, 7, 5)
    nothing = torch.zeros(2, 5, 1, 1)

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        assert len(x) == len(sigma) == 2 * len(tiles)
        masks, hints, prompts = crop(mask), crop(hint), crop(prompt)
        for index, tile in enumerate(tiles):
            rows = slice(2 * index, 2 * index + 2)
            r, p = tile.region, tile.pixels
            assert torch.equal(masks[rows], mask[:, :, r.y : r.bottom, r.x : r.right])
            assert torch.equal(hints[2 * index + 1], hint[0, :, p.y : p.bottom, p.x : p.right])
            assert torch.equal(prompts[rows], prompt)
        assert crop(nothing).shape == (len(x), 5, 1, 1)
        return x * masks

    result = JointDenoiser(inner, JointSettings(Size(8, 12), 3, batch=3))(x, sigmas(1.0))
    torch.testing.assert_close(result, x * mask, atol=1e-5, rtol=1e-5)


def test_insides_of_the_unet_follow_an_aligned_tile() -> None:
    canvas = Size(40, 24)
    for smaller in (2, 4, 8):
        values = torch.rand(1, 2, 24 // smaller, 40 // smaller)
        part = LatentTile(0, Region(16, 8, 16, 16), canvas).crop(values)
        assert torch.equal(part, values[:, :, 8 // smaller : 24 // smaller, 16 // smaller : 32 // smaller])
        with pytest.raises(SettingsError, match="do not begin"):
            LatentTile(0, Region(15, 8, 16, 16), canvas).crop(values)


def test_regions_have_their_own_prompt() -> None:
    """Left of the middle the prompt is -1, right of it 1; tiles of different prompts never share a batch."""
    batches: list[set[bool]] = []

    def left(tile: LatentTile) -> bool:
        return tile.region.x + tile.region.width / 2 < tile.canvas.width / 2

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        batches.append({left(tile) for tile in tiles})
        values = torch.cat([torch.full((2, 1, 1, 1), -1.0 if left(tile) else 1.0) for tile in tiles])
        return values.expand_as(x)

    settings = JointSettings(Size(16, 16), 4, batch=3)
    result = JointDenoiser(inner, settings, group=left)(noise(Size(64, 30)), sigmas(1.0))
    torch.testing.assert_close(result[..., :16], -torch.ones(2, 4, 30, 16))
    torch.testing.assert_close(result[..., -16:], torch.ones(2, 4, 30, 16))
    assert all(len(kinds) == 1 for kinds in batches)
    across = result[0, 0, 0]
    assert (across.diff() >= -1e-6).all()


def test_shift_depends_on_the_step_alone() -> None:
    settings = JointSettings(Size(16, 16), 6, shift=True)
    size = Size(70, 70)
    grids = {sigma: settings.origins(size, sigma) for sigma in (14.6, 7.3, 3.1, 1.2, 0.4)}
    assert len(set(grids.values())) > 2
    places: list[list[Region]] = []

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        places[-1].extend(tile.region for tile in tiles)
        return x

    joint = JointDenoiser(inner, settings)
    for sigma, batch in ((7.3, 1), (1.2, 2), (7.3, 2), (7.3, 1)):
        places.append([])
        joint(noise(size, batch), sigmas(sigma, batch))
    assert places[0] == places[2] == places[3] != places[1]


class Unet(nn.Module):
    """Convolutions that halve and double, like the real one's; zero padding makes tiles differ at their borders."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.down = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up, self.out = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.nn.functional.silu(self.into(x))
        deep = torch.nn.functional.silu(self.down(wide))
        deep = self.up(torch.nn.functional.interpolate(deep, scale_factor=2.0, mode="nearest"))
        return self.out(torch.cat([wide, deep], 1))


def test_a_unet_by_tiles_denoised_together() -> None:
    """Batches change nothing; away from tile borders the result is the whole's; no column stands out."""
    torch.manual_seed(0)
    unet, x = Unet().eval(), noise(Size(48, 32))
    with torch.no_grad():
        expected = unet(x)
        results = [
            JointDenoiser(lambda x, *_: unet(x), JointSettings(Size(24, 32), 12, batch=batch, align=2))(x, sigmas(1.0))
            for batch in (1, 2, 5)
        ]
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(results[0], results[2], atol=1e-5, rtol=1e-5)
    # Three tiles at 0, 12 and 24: their borders lie at columns 12, 24 and 36, where the weights are least.
    difference = (results[0] - expected).abs().amax((0, 1, 2))
    assert difference.max() < 0.01 * expected.std()


def test_smaller_batches_when_memory_runs_out() -> None:
    calls: list[int] = []

    def scarce(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Crop) -> Tensor:
        calls.append(len(tiles))
        if len(tiles) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate some")
        return linear(x, sigma, tiles, crop)

    joint, x = JointDenoiser(scarce, JointSettings(Size(8, 8), 2, batch=8)), noise(Size(30, 30))
    torch.testing.assert_close(joint(x, sigmas(1.0)), 3 * x + 1, atol=1e-4, rtol=1e-5)
    assert joint.batch == 2
    calls.clear()
    joint(x, sigmas(0.5))
    assert max(calls) == 2


def test_memory_for_nothing() -> None:
    def none(x: Tensor, *_: object) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate some")

    joint = JointDenoiser(none, JointSettings(Size(8, 8), 2, batch=4))
    with pytest.raises(OutOfMemoryError, match="one tile of 64x64 pixels"):
        joint(noise(Size(30, 30)), sigmas(1.0))


def test_other_errors_are_not_hidden() -> None:
    def broken(x: Tensor, *_: object) -> Tensor:
        raise RuntimeError("Sizes of tensors must match")

    with pytest.raises(RuntimeError, match="must match"):
        JointDenoiser(broken, JointSettings(Size(8, 8), 2))(noise(Size(30, 30)), sigmas(1.0))


def test_cancellation() -> None:
    calls: list[int] = []

    def inner(x: Tensor, *_: object) -> Tensor:
        calls.append(1)
        return x

    stop = Callback(lambda f, _: None, lambda: len(calls) == 2)
    with pytest.raises(CancelledError):
        JointDenoiser(inner, JointSettings(Size(8, 8), 2), progress=stop)(noise(Size(30, 30)), sigmas(1.0))
    assert len(calls) == 2


def test_impossible_settings() -> None:
    with pytest.raises(TileTooSmallError):
        JointSettings(Size(8, 16), 8)
    with pytest.raises(SettingsError):
        JointSettings(Size(8, 8), 4, align=8)
