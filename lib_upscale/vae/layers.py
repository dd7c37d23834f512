"""What a latent-diffusion VAE is built of: its encoder or decoder read into a flat list of layers.

Networks are known by their structure (names of parts, kinds of layers, kernel sizes), never by their class, because
every WebUI brings classes of its own for the same network (ldm, sgm, Forge's integrated autoencoder).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_upscale.errors import UnknownNetworkError

__all__ = [
    "Attention",
    "Convolve",
    "Downsample",
    "Layer",
    "Network",
    "Normalize",
    "OutputHead",
    "Resnet",
    "Upsample",
    "attended",
    "convolved",
    "doubled",
    "forward",
    "halved",
    "read_decoder",
    "read_encoder",
]


@dataclass(frozen=True)
class Convolve:
    """A convolution of stride 1 that keeps the size."""

    conv: nn.Conv2d


@dataclass(frozen=True)
class Resnet:
    """Twice norm, SiLU, convolution, and the input (through `shortcut` where channels change) added."""

    norm1: nn.GroupNorm
    conv1: nn.Conv2d
    norm2: nn.GroupNorm
    conv2: nn.Conv2d
    shortcut: nn.Conv2d | None


@dataclass(frozen=True)
class Attention:
    """Self-attention of one head over all pixels, after a norm, added to its input."""

    norm: nn.GroupNorm
    q: nn.Conv2d
    k: nn.Conv2d
    v: nn.Conv2d
    proj_out: nn.Conv2d


@dataclass(frozen=True)
class Downsample:
    """Half the side, rounded down: zeros at the right and bottom and a convolution of stride 2, or a mean of 2x2."""

    conv: nn.Conv2d | None


@dataclass(frozen=True)
class Upsample:
    """Every pixel repeated 2x2, then a convolution if there is one."""

    conv: nn.Conv2d | None


@dataclass(frozen=True)
class OutputHead:
    """The last norm, SiLU and convolution, and a tanh if the network has one."""

    norm: nn.GroupNorm
    conv: nn.Conv2d
    tanh: bool


Layer = Convolve | Resnet | Attention | Downsample | Upsample | OutputHead


@dataclass(frozen=True)
class Network:
    """An encoder or decoder as layers. `narrow` work at a quarter of the picture's side or less, `wide` at more.

    An encoder runs `wide` first, a decoder last.
    """

    wide: tuple[Layer, ...]
    narrow: tuple[Layer, ...]

    @property
    def factor(self) -> int:
        """Sides of the picture over sides of the latent."""
        return self.wide_factor * _factor(self.narrow)

    @property
    def wide_factor(self) -> int:
        """Sides of the picture over sides of what lies between `wide` and `narrow`."""
        return _factor(self.wide)

    @property
    def channels(self) -> int:
        """Channels of the activations at the picture's resolution."""
        ends = (self.wide[0], self.wide[-1])
        return max(
            end.conv.out_channels if isinstance(end, Convolve) else end.conv.in_channels
            for end in ends
            if isinstance(end, (Convolve, OutputHead))
        )


_WIDE = 2  # halvings, or doublings, that belong to `wide`


def _factor(layers: Sequence[Layer]) -> int:
    return int(2 ** sum(isinstance(layer, (Downsample, Upsample)) for layer in layers))


def read_encoder(module: nn.Module) -> Network:
    """The layers of an encoder: picture -> moments. Raises `UnknownNetworkError`."""
    read = _Reader("encoder")
    read.children(module, {"conv_in", "down", "mid", "norm_out", "conv_out"})
    layers: list[Layer] = [Convolve(read.conv(module, "conv_in"))]
    levels = read.levels(module, "down")
    for index, level in enumerate(levels):
        layers += read.level(level, "downsample")
        layers += read.resample(level, "downsample", last=index == len(levels) - 1)
    layers += [*read.middle(module), read.finish(module)]
    cut = max([i + 1 for i, layer in enumerate(layers) if isinstance(layer, Downsample)][:_WIDE], default=1)
    return Network(tuple(layers[:cut]), tuple(layers[cut:]))


def read_decoder(module: nn.Module) -> Network:
    """The layers of a decoder: latent -> picture. Raises `UnknownNetworkError`."""
    read = _Reader("decoder")
    read.children(module, {"conv_in", "up", "mid", "norm_out", "conv_out"})
    if getattr(module, "give_pre_end", False):
        raise read.unknown("it ends before its last layer (give_pre_end)")
    layers: list[Layer] = [Convolve(read.conv(module, "conv_in")), *read.middle(module)]
    # ldm keeps the level of the picture's own resolution first and runs it last.
    for index, level in reversed(list(enumerate(read.levels(module, "up")))):
        layers += read.level(level, "upsample")
        layers += read.resample(level, "upsample", last=index == 0)
    layers.append(read.finish(module))
    cut = min([i for i, layer in enumerate(layers) if isinstance(layer, Upsample)][-_WIDE:], default=len(layers) - 1)
    return Network(tuple(layers[cut:]), tuple(layers[:cut]))


class _Reader:
    """Takes parts out of a module and refuses whatever it does not know."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def unknown(self, why: str) -> UnknownNetworkError:
        return UnknownNetworkError(
            f"This VAE's {self._kind} is not built as Stable Diffusion's is ({why})",
            "use another VAE, or turn off the VAE by tiles",
        )

    def children(self, module: nn.Module, known: set[str]) -> None:
        """No part may go unseen: a layer that is not known would be left out of the result."""
        others = {name for name, _ in module.named_children()} - known
        if others:
            raise self.unknown(f"it has a part called {min(others)}")

    def part(self, module: nn.Module, name: str) -> Any:
        found = getattr(module, name, None)
        if found is None:
            raise self.unknown(f"it has no part called {name}")
        return found

    def conv(self, module: nn.Module, name: str, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
        conv = self.part(module, name)
        padding = kernel // 2 if stride == 1 else 0
        if (
            not isinstance(conv, nn.Conv2d)
            or conv.kernel_size != (kernel, kernel)
            or conv.stride != (stride, stride)
            or conv.padding != (padding, padding)
            or conv.dilation != (1, 1)
        ):
            raise self.unknown(f"{name} is another kind of layer")
        if conv.padding_mode != "zeros" and padding:
            raise UnknownNetworkError(
                "This VAE's borders are set to wrap around, which can't be done by tiles", "turn off Tiling"
            )
        return conv

    def norm(self, module: nn.Module, name: str) -> nn.GroupNorm:
        norm = self.part(module, name)
        if not isinstance(norm, nn.GroupNorm):
            raise self.unknown(f"{name} is no group norm")
        return norm

    def levels(self, module: nn.Module, name: str) -> list[nn.Module]:
        levels = self.part(module, name)
        if not isinstance(levels, nn.ModuleList) or not len(levels):
            raise self.unknown(f"{name} holds no levels")
        return list(levels)

    def level(self, level: nn.Module, resample: str) -> Iterator[Layer]:
        self.children(level, {"block", "attn", resample})
        attention = getattr(level, "attn", None) or []
        for index, block in enumerate(self.part(level, "block")):
            yield self.resnet(block)
            if len(attention):
                yield from self.attention(attention[index])

    def resnet(self, block: nn.Module) -> Resnet:
        shortcuts = {"nin_shortcut": 1, "conv_shortcut": 3}
        # temb_proj is there in a VAE that was built with time steps, and never used: a VAE has none.
        self.children(block, {"norm1", "conv1", "norm2", "conv2", "dropout", "swish", "temb_proj", *shortcuts})
        found = [(n, k) for n, k in shortcuts.items() if getattr(block, n, None) is not None]
        shortcut = self.conv(block, found[0][0], found[0][1]) if found else None
        conv1, conv2 = self.conv(block, "conv1"), self.conv(block, "conv2")
        if shortcut is None and conv1.in_channels != conv2.out_channels:
            raise self.unknown("a block that changes channels has no shortcut")
        return Resnet(self.norm(block, "norm1"), conv1, self.norm(block, "norm2"), conv2, shortcut)

    def attention(self, block: nn.Module) -> Iterator[Attention]:
        if isinstance(block, nn.Identity):
            return
        self.children(block, {"norm", "q", "k", "v", "proj_out"})
        q, k, v, out = (self.conv(block, name, kernel=1) for name in ("q", "k", "v", "proj_out"))
        yield Attention(self.norm(block, "norm"), q, k, v, out)

    def middle(self, module: nn.Module) -> Iterator[Layer]:
        middle = self.part(module, "mid")
        self.children(middle, {"block_1", "attn_1", "block_2"})
        yield self.resnet(self.part(middle, "block_1"))
        yield from self.attention(self.part(middle, "attn_1"))
        yield self.resnet(self.part(middle, "block_2"))

    def resample(self, level: nn.Module, name: str, last: bool) -> Iterator[Layer]:
        block = getattr(level, name, None)
        if last != (block is None):
            raise self.unknown(f"{name} is {'missing' if block is None else 'one too many'}")
        if block is None:
            return
        self.children(block, {"conv"})
        with_conv = getattr(block, "conv", None) is not None
        if name == "downsample":
            yield Downsample(self.conv(block, "conv", stride=2) if with_conv else None)
        else:
            yield Upsample(self.conv(block, "conv") if with_conv else None)

    def finish(self, module: nn.Module) -> OutputHead:
        return OutputHead(
            self.norm(module, "norm_out"), self.conv(module, "conv_out"), bool(getattr(module, "tanh_out", False))
        )


Normalize = Callable[[nn.GroupNorm, Tensor], Tensor]
"""Applies a norm, with statistics that it knows or measures. The result must be a tensor of its own."""


def forward(layers: Sequence[Layer], x: Tensor, normalize: Normalize) -> Tensor:
    """Run layers on all of `x` (NCHW) at once."""
    for layer in layers:
        x = _apply(layer, x, normalize)
    return x


def _apply(layer: Layer, x: Tensor, normalize: Normalize) -> Tensor:
    if isinstance(layer, Convolve):
        return convolved(layer.conv, x)
    if isinstance(layer, Resnet):
        h = convolved(layer.conv1, F.silu(normalize(layer.norm1, x), inplace=True))
        h = convolved(layer.conv2, F.silu(normalize(layer.norm2, h), inplace=True))
        return h.add_(x if layer.shortcut is None else convolved(layer.shortcut, x))
    if isinstance(layer, Attention):
        return _attention(layer, x, normalize)
    if isinstance(layer, Downsample):
        return halved(layer, x, bottom=True)
    if isinstance(layer, Upsample):
        return doubled(layer, x)
    y = convolved(layer.conv, F.silu(normalize(layer.norm, x), inplace=True))
    return y.tanh_() if layer.tanh else y


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv` of `x`, called as a module: hosts hang LoRA, casts and hooks on modules."""
    result: Tensor = conv(x)
    return result


def halved(layer: Downsample, x: Tensor, bottom: bool) -> Tensor:
    """`x` after a `Downsample`; `bottom` says whether its last row is the picture's last."""
    if layer.conv is None:
        return F.avg_pool2d(x, 2, 2)
    return convolved(layer.conv, F.pad(x, (0, 1, 0, int(bottom))))


def doubled(layer: Upsample, x: Tensor) -> Tensor:
    """`x` after a `Upsample`."""
    batch, channels, height, width = x.shape
    # Nearest interpolation as a copy: not every device interpolates every type.
    repeated = x[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    x = repeated.reshape(batch, channels, 2 * height, 2 * width)
    return x if layer.conv is None else convolved(layer.conv, x)


def _attention(layer: Attention, x: Tensor, normalize: Normalize) -> Tensor:
    h = normalize(layer.norm, x)
    q, k, v = (convolved(conv, h).flatten(2) for conv in (layer.q, layer.k, layer.v))
    mixed = attended(q, [(k, v)])
    return convolved(layer.proj_out, mixed.reshape(x.shape)) + x


def attended(q: Tensor, pairs: Sequence[tuple[Tensor, Tensor]] | Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Attention of queries (batch, channels, n) over all keys and values, given in pairs of chunks.

    The softmax over all chunks is exact: sums of exponentials are rescaled whenever a larger score turns up
    (Milakov and Gimelshein 2018, Online normalizer calculation for softmax).
    """
    scaled = (q * q.shape[1] ** -0.5).transpose(1, 2)  # before the product: half precision would overflow after it
    highest = torch.full((*scaled.shape[:2], 1), -torch.inf, device=q.device)
    total = torch.zeros_like(highest)
    mixed = torch.zeros(scaled.shape, device=q.device)
    for keys, values in pairs:
        scores = torch.bmm(scaled, keys).float()
        higher = torch.maximum(highest, scores.amax(2, keepdim=True))
        scores = scores.sub_(higher).exp_()
        feather = (highest - higher).exp_()
        total = total.mul_(feather).add_(scores.sum(2, keepdim=True))
        mixed = mixed.mul_(feather).add_(torch.bmm(scores.to(values.dtype), values.transpose(1, 2)))
        highest = higher
    return mixed.div_(total).transpose(1, 2).to(q.dtype)
