"""The VAE by tiles gives what the whole picture at once gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lib_upscale.errors import CancelledError, OutOfMemoryError, SettingsError, UnknownNetworkError
from lib_upscale.progress import Callback
from lib_upscale.settings.redraw import VaeMode
from lib_upscale.vae import MARGIN, Spill, decode, encode
from lib_upscale.vae.bands import Moments, Scratch
from lib_upscale.vae.layers import read_decoder
from tests.vae.vae_network import Attention, Decoder, Encoder, picture

FACTOR = 4  # of the small networks


@cache
def encoder(with_conv: bool = True, attention: bool = False) -> Encoder:
    torch.manual_seed(0)
    return Encoder(with_conv=with_conv, attention=attention).eval()


@cache
def decoder(with_conv: bool = True, tanh: bool = False) -> Decoder:
    torch.manual_seed(0)
    return Decoder(with_conv=with_conv, tanh=tanh).eval()


@cache
def deep() -> tuple[Encoder, Decoder]:
    """Of Stable Diffusion's depth: an eighth of the side, of which the fast mode runs a quarter by tiles."""
    torch.manual_seed(0)
    return Encoder((4, 8, 8, 8)).eval(), Decoder((4, 8, 8, 8)).eval()


def whole(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = module(x)
    return result


sides = st.integers(4, 40)


@pytest.mark.slow
@settings(max_examples=15)
@given(sides, sides, st.integers(6, 48), st.booleans(), st.booleans(), st.integers(1, 2))
def test_exact_encoder(height: int, width: int, tile: int, conv: bool, attention: bool, batch: int) -> None:
    x, module = picture(height, width, batch=batch), encoder(conv, attention)
    result = encode(module, x, tile=tile)
    assert result.shape == (batch, 8, height // 2 // 2, width // 2 // 2)
    torch.testing.assert_close(result, whole(module, x), atol=1e-4, rtol=0)


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(6, 48), st.booleans(), st.booleans(), st.integers(1, 2))
def test_exact_decoder(height: int, width: int, tile: int, conv: bool, tanh: bool, batch: int) -> None:
    x, module = picture(height, width, 4, batch), decoder(conv, tanh)
    torch.testing.assert_close(decode(module, x, tile=tile), whole(module, x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", list(VaeMode))
def test_the_hosts_autocast_changes_nothing(mode: VaeMode) -> None:
    """A host samples under autocast, which would compute a VAE in half that was told to stay in full precision."""
    deep_encoder, deep_decoder = deep()
    pixels, latent = picture(96, 96), picture(12, 12, 4)
    outside = encode(deep_encoder, pixels, tile=64, mode=mode), decode(deep_decoder, latent, tile=64, mode=mode)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = encode(deep_encoder, pixels, tile=64, mode=mode), decode(deep_decoder, latent, tile=64, mode=mode)
    for before, within in zip(outside, inside, strict=True):
        assert torch.equal(before, within)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(0, 1000), st.integers(0, 99))
def test_moments_of_parts_that_differ(heights: list[int], apart: float, seed: int) -> None:
    """Each part has a mean of its own, so most of the variance lies between the parts."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, 6, h, 5, generator=generator) + i * apart for i, h in enumerate(heights)]
    pooled = Moments.of(parts[0], 3)
    for part in parts[1:]:
        pooled = pooled.merged(Moments.of(part, 3))
    values = torch.cat(parts, 2).double().reshape(2, 3, -1)
    torch.testing.assert_close(pooled.mean, values.mean(2), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pooled.squares / pooled.count, values.var(2, unbiased=False), rtol=1e-4, atol=1e-5)


def test_variance_between_bands_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the term for the means' distance a picture of bands that differ comes out wrong, and this is seen."""
    x = torch.cat([torch.full((1, 3, 16, 32), float(level)) for level in (-1, 1, -0.5, 0.8)], 2) + picture(64, 32) / 50
    expected = whole(encoder(), x)
    torch.testing.assert_close(encode(encoder(), x, tile=16), expected, atol=1e-4, rtol=0)

    def without(self: Moments, other: Moments) -> Moments:
        count = self.count + other.count
        mean = (self.mean * self.count + other.mean * other.count) / count
        return Moments(count, mean, self.squares + other.squares)

    monkeypatch.setattr(Moments, "merged", without)
    assert (encode(encoder(), x, tile=16) - expected).abs().max() > 0.05


@pytest.mark.slow
def test_in_files(tmp_path: Path) -> None:
    x, z = picture(50, 41), picture(13, 9, 4)
    for memory in (0, 40_000):
        spill = Spill(tmp_path / "new", memory)
        torch.testing.assert_close(encode(encoder(), x, tile=16, spill=spill), whole(encoder(), x), atol=1e-4, rtol=0)
        torch.testing.assert_close(decode(decoder(), z, tile=16, spill=spill), whole(decoder(), z), atol=1e-4, rtol=0)
        assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_files_hold_what_memory_holds(tmp_path: Path, dtype: torch.dtype) -> None:
    x = picture(8, 8).to(dtype)
    with Scratch(Spill(tmp_path, 0)) as scratch:
        band = scratch.keep(x, 0)
        assert band.path is not None
        assert band.path.stat().st_size == x.numel() * x.element_size()
        assert torch.equal(band.values, x)
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_stays_near() -> None:
    module = Decoder().bfloat16()
    z = picture(12, 12, 4)
    result = decode(module, z, tile=16)
    assert result.dtype is torch.float32
    assert (result - whole(module, z.bfloat16()).float()).abs().mean() < 0.05


@pytest.mark.slow
def test_what_is_held_is_little_more_than_two_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a layer has used up is given back while its output grows."""
    held: dict[int, int] = {}
    totals: list[int] = []
    keep, drop = Scratch.keep, Scratch.drop

    def counting_keep(self: Scratch, x: Tensor, top: int) -> Any:
        band = keep(self, x, top)
        held[id(band)] = x.numel() * x.element_size()
        totals.append(sum(held.values()))
        return band

    def counting_drop(self: Scratch, band: Any) -> None:
        held.pop(id(band), None)
        drop(self, band)

    monkeypatch.setattr(Scratch, "keep", counting_keep)
    monkeypatch.setattr(Scratch, "drop", counting_drop)

    def bytes_per_pixel(run: Callable[..., Tensor], module: nn.Module, x: Tensor, **options: Any) -> float:
        held.clear()
        totals.clear()
        run(module, x, **options)
        return max(totals) / 128**2

    # The largest is a block of 8 channels at the picture's size: its input, which it adds in the end, and its middle.
    block, latent = 2 * 8 * 4, picture(32, 32, 4)
    assert 0.8 * block < bytes_per_pixel(encode, encoder(), picture(128, 128), tile=32) < 1.2 * block
    assert 0.8 * block < bytes_per_pixel(decode, decoder(), latent, tile=32) < 1.2 * block
    assert bytes_per_pixel(decode, decoder(), latent, tile=64, mode=VaeMode.FAST) <= block / 4
    assert bytes_per_pixel(decode, Decoder().bfloat16(), latent, tile=32) <= 1.2 * block / 2


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(1, 16), st.integers(1, 16))
def test_fast_is_exact_where_a_tile_holds_all(height: int, width: int) -> None:
    z = picture(height, width, 4)
    result = decode(decoder(), z, tile=160, mode=VaeMode.FAST)
    torch.testing.assert_close(result, whole(decoder(), z), atol=1e-4, rtol=0)
    x = picture(height * FACTOR + height % 4, width * FACTOR + width % 3)
    result = encode(encoder(), x, tile=160, mode=VaeMode.FAST)
    torch.testing.assert_close(result, whole(encoder(), x), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_fast_tiles_have_no_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same statistics, where the tiles lie can't be seen: the margin covers what convolutions reach."""
    from lib_upscale.vae import tiled as vae

    statistics = vae._FastTiles._statistics

    def exact_statistics(self: vae._FastTiles) -> dict[nn.GroupNorm, Moments]:
        self._limit.elements, kept = 10**9, self._limit.elements
        moments = statistics(self)
        self._limit.elements = kept
        return moments

    monkeypatch.setattr(vae._FastTiles, "_statistics", exact_statistics)
    z, x = picture(50, 61, 4), picture(203, 177)
    small = {"tile": 2 * MARGIN + 32, "mode": VaeMode.FAST}
    torch.testing.assert_close(decode(decoder(), z, **small), whole(decoder(), z), atol=1e-4, rtol=0)
    torch.testing.assert_close(encode(encoder(), x, **small), whole(encoder(), x), atol=1e-4, rtol=0)
    into, out = deep()
    z, x = picture(20, 27, 4), picture(169, 137)
    torch.testing.assert_close(decode(out, z, **small), whole(out, z), atol=1e-4, rtol=0)
    torch.testing.assert_close(encode(into, x, **small), whole(into, x), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_fast_statistics_are_near() -> None:
    z = picture(96, 80, 4)
    expected = whole(decoder(), z)
    result = decode(decoder(), z, tile=128, mode=VaeMode.FAST)
    assert (result - expected).abs().mean() < 0.1 * expected.std()


class Scarce(nn.Module):
    """A network on a device that holds no activation of more than `limit` numbers."""

    def __init__(self, network: nn.Module, limit: int) -> None:
        super().__init__()
        self.refused = 0

        def refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].numel() > limit:
                self.refused += 1
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate some")

        self.handles = [m.register_forward_pre_hook(refuse) for m in network.modules() if isinstance(m, nn.Conv2d)]

    def lift(self) -> None:
        for handle in self.handles:
            handle.remove()


@pytest.mark.slow
@pytest.mark.parametrize("mode", VaeMode)
def test_smaller_parts_when_memory_runs_out(mode: VaeMode) -> None:
    x, z = picture(64, 48), picture(16, 12, 4)
    expected = whole(encoder(), x), whole(decoder(), z)
    scarce = [Scarce(module, 8000) for module in (encoder(), decoder())]
    try:
        results = (
            encode(encoder(), x, tile=512, mode=mode, margin=8),
            decode(decoder(), z, tile=512, mode=mode, margin=8),
        )
        assert all(s.refused for s in scarce)
    finally:
        for s in scarce:
            s.lift()
    for result, right in zip(results, expected, strict=True):
        if mode is VaeMode.EXACT:
            torch.testing.assert_close(result, right, atol=1e-4, rtol=0)
        assert torch.isfinite(result).all()
        assert result.shape == right.shape


@pytest.mark.slow
@pytest.mark.parametrize("mode", VaeMode)
def test_memory_for_nothing(mode: VaeMode) -> None:
    scarce = Scarce(decoder(), 10)
    try:
        with pytest.raises(OutOfMemoryError, match="smallest part"):
            decode(decoder(), picture(8, 8, 4), mode=mode)
    finally:
        scarce.lift()


@pytest.mark.slow
@pytest.mark.parametrize("mode", VaeMode)
def test_progress_and_cancellation(mode: VaeMode) -> None:
    heard: list[float] = []
    z = picture(60, 60, 4)
    decode(decoder(), z, tile=96, mode=mode, margin=8, progress=Callback(lambda f, _: heard.append(f)))
    assert len(heard) > 10
    assert heard[-1] == pytest.approx(1.0)
    stop = Callback(lambda f, _: None, lambda: True)
    with pytest.raises(CancelledError):
        decode(decoder(), z, tile=96, mode=mode, progress=stop)


def test_what_is_not_known_is_refused() -> None:
    strange = Encoder()
    strange.mid.attn_1 = nn.Linear(3, 3)
    with pytest.raises(UnknownNetworkError, match="encoder"):
        encode(strange, picture(16, 16))
    extra = Decoder()
    extra.up[0].block[0].time_stack = Attention(8)
    with pytest.raises(UnknownNetworkError, match="time_stack"):
        decode(extra, picture(4, 4, 4))
    wrapped = Decoder()
    wrapped.conv_in.padding_mode = "circular"
    with pytest.raises(UnknownNetworkError, match="Tiling"):
        decode(wrapped, picture(4, 4, 4))
    with pytest.raises(UnknownNetworkError):
        decode(nn.Sequential(nn.Conv2d(3, 3, 3)), picture(4, 4, 4))


def test_too_small() -> None:
    with pytest.raises(SettingsError, match="at least 4"):
        encode(encoder(), picture(3, 40))
    with pytest.raises(SettingsError, match="set it to 68"):
        decode(decoder(), picture(4, 4, 4), tile=64, mode=VaeMode.FAST, margin=32)


@pytest.mark.slow
def test_the_middle_without_attention() -> None:
    module = Decoder()
    module.mid.attn_1 = nn.Identity()
    z = picture(9, 7, 4)
    torch.testing.assert_close(decode(module, z, tile=8), whole(module, z), atol=1e-4, rtol=0)
    assert read_decoder(module).factor == FACTOR
