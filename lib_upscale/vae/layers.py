"""The layers that a latent-diffusion VAE consists of, and reading an encoder or decoder into a flat list of them.

Networks are known by their structure (names of parts, kinds of layers, kernel sizes), never by their class, because
every WebUI brings classes of its own for the same network (ldm, sgm, Forge's integrated autoencoder).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lib_upscale.errors import UnknownNetworkError

__all__ = [
    "Attention",
    "Convolve",
    "Downsample",
    "Layer",
    "Network",
    "Normalize",
    "Resnet",
    "Upsample",
    "activate",
    "attend",
    "convolve",
    "forward",
    "read_decoder",
    "read_encoder",
]

Normalize = Callable[[nn.GroupNorm, Tensor], Tensor]
"""Applies a norm, with statistics that it knows or measures. The result must be a tensor of its own."""


class _Layer(ABC):
    scale: ClassVar[float] = 1.0
    """Sides of the output over sides of the input; a half is rounded down."""

    @property
    def convs(self) -> list[nn.Conv2d]:
        """Its convolutions."""
        return [part for part in vars(self).values() if isinstance(part, nn.Conv2d)]

    @abstractmethod
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        """Run it on all of `x` (NCHW) at once."""

    def multiplications(self, height: int, width: int) -> float:
        """How many it needs for an output of that size."""
        kernels = (c.in_channels * c.out_channels * c.kernel_size[0] * c.kernel_size[1] for c in self.convs)
        return float(sum(kernels) * height * width)


@dataclass(frozen=True)
class Convolve(_Layer):
    """A convolution of stride 1 that keeps the size. A network's last comes after a norm and SiLU."""

    conv: nn.Conv2d
    norm: nn.GroupNorm | None = None
    tanh: bool = False
    """Whether a tanh follows."""

    @override
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        y = convolve(self.conv, x if self.norm is None else activate(self.norm, x, normalize))
        return y.tanh_() if self.tanh else y


@dataclass(frozen=True)
class Resnet(_Layer):
    """Twice norm, SiLU, convolution, and the input (through `shortcut` where channels change) added."""

    norm: nn.GroupNorm
    conv1: nn.Conv2d
    norm2: nn.GroupNorm
    conv2: nn.Conv2d
    shortcut: nn.Conv2d | None

    @override
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        h = convolve(self.conv1, activate(self.norm, x, normalize))
        h = convolve(self.conv2, activate(self.norm2, h, normalize))
        return h.add_(x if self.shortcut is None else convolve(self.shortcut, x))


@dataclass(frozen=True)
class Attention(_Layer):
    """Self-attention of one head over all pixels, after a norm, added to its input."""

    norm: nn.GroupNorm
    q: nn.Conv2d
    k: nn.Conv2d
    v: nn.Conv2d
    proj_out: nn.Conv2d

    @override
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        h = normalize(self.norm, x)
        q, k, v = (convolve(conv, h).flatten(2) for conv in (self.q, self.k, self.v))
        return convolve(self.proj_out, attend(q, [(k, v)]).reshape(x.shape)) + x

    @override
    def multiplications(self, height: int, width: int) -> float:
        return super().multiplications(height, width) + 2.0 * self.q.out_channels * (height * width) ** 2


@dataclass(frozen=True)
class Downsample(_Layer):
    """Half the side, rounded down: zeros at the right and bottom and a convolution of stride 2, or a mean of 2x2."""

    scale: ClassVar[float] = 0.5
    norm: ClassVar[None] = None
    conv: nn.Conv2d | None

    @override
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        return self.halve(x, ends_picture=True)

    def halve(self, x: Tensor, *, ends_picture: bool) -> Tensor:
        """Run it on some rows; `ends_picture` says whether the last of them is the picture's last."""
        if self.conv is None:
            return F.avg_pool2d(x, 2, 2)
        return convolve(self.conv, F.pad(x, (0, 1, 0, int(ends_picture))))


@dataclass(frozen=True)
class Upsample(_Layer):
    """Every pixel repeated 2x2, then a convolution if there is one."""

    scale: ClassVar[float] = 2.0
    norm: ClassVar[None] = None
    conv: nn.Conv2d | None

    @override
    def apply(self, x: Tensor, normalize: Normalize) -> Tensor:
        return self.double(x)

    def double(self, x: Tensor) -> Tensor:
        """Run it on some rows."""
        batch, channels, height, width = x.shape
        # Nearest interpolation as a copy: not every device interpolates every type.
        repeated = x[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
        x = repeated.reshape(batch, channels, 2 * height, 2 * width)
        return x if self.conv is None else convolve(self.conv, x)


Layer = Convolve | Resnet | Attention | Downsample | Upsample
"""One step of an encoder or decoder. `norm` is the group norm that its input goes through first, or None."""


def forward(layers: Sequence[Layer], x: Tensor, normalize: Normalize) -> Tensor:
    """Run layers on all of `x` (NCHW) at once."""
    for layer in layers:
        x = layer.apply(x, normalize)
    return x


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Call `conv` as a module: hosts hang LoRA, casts and hooks on modules."""
    result: Tensor = conv(x)
    return result


def activate(norm: nn.GroupNorm, x: Tensor, normalize: Normalize) -> Tensor:
    """Apply a norm and SiLU."""
    return F.silu(normalize(norm, x), inplace=True)


def attend(q: Tensor, pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Compute the attention of queries over all keys and values, which come in chunks.

    The softmax over all chunks is exact: sums of exponentials are rescaled whenever a larger score turns up
    (Milakov and Gimelshein 2018, Online normalizer calculation for softmax).

    Args:
        q: Queries, (batch, channels, n).
        pairs: Keys and values of each chunk, (batch, channels, m) both.

    Returns:
        (batch, channels, n), of the type of `q`.
    """
    scaled = (q * q.shape[1] ** -0.5).transpose(1, 2)  # before the product: half precision would overflow after it
    highest = torch.full((*scaled.shape[:2], 1), -torch.inf, device=q.device)
    total = torch.zeros_like(highest)
    mixed = torch.zeros(scaled.shape, device=q.device)
    for keys, values in pairs:
        scores = torch.bmm(scaled, keys).float()
        higher = torch.maximum(highest, scores.amax(2, keepdim=True))
        scores = scores.sub_(higher).exp_()
        rescale = (highest - higher).exp_()
        total = total.mul_(rescale).add_(scores.sum(2, keepdim=True))
        mixed = mixed.mul_(rescale).add_(torch.bmm(scores.to(values.dtype), values.transpose(1, 2)))
        highest = higher
    return mixed.div_(total).transpose(1, 2).to(q.dtype)


@dataclass(frozen=True)
class Network:
    """An encoder or decoder as layers. An encoder runs `high_res` first, a decoder last."""

    high_res: tuple[Layer, ...]
    """What works at more than a quarter of the picture's side."""
    low_res: tuple[Layer, ...]
    """What works at a quarter of the picture's side or less."""
    channels: int
    """Channels of the activations at the picture's resolution."""

    @property
    def factor(self) -> int:
        """Sides of the picture over sides of the latent."""
        return _factor((*self.high_res, *self.low_res))

    @property
    def high_res_factor(self) -> int:
        """Sides of the picture over sides of what lies between `high_res` and `low_res`."""
        return _factor(self.high_res)


def _factor(layers: Sequence[Layer]) -> int:
    return int(prod(max(layer.scale, 1 / layer.scale) for layer in layers))


_HIGH_RES = 2
"""Halvings, or doublings, that belong to `high_res`."""


def read_encoder(module: nn.Module) -> Network:
    """Read the layers of an encoder (picture -> moments). Raises `UnknownNetworkError`."""
    read = _Reader("encoder")
    read.children(module, {"conv_in", "down", "mid", "norm_out", "conv_out"})
    conv_in = read.conv(module, "conv_in")
    layers: list[Layer] = [Convolve(conv_in)]
    levels = read.levels(module, "down")
    for index, level in enumerate(levels):
        layers += read.level(level, "downsample")
        layers += read.resample(level, "downsample", last=index == len(levels) - 1)
    layers += [*read.middle(module), read.head(module)]
    cut = max([i + 1 for i, layer in enumerate(layers) if layer.scale < 1][:_HIGH_RES], default=1)
    return Network(tuple(layers[:cut]), tuple(layers[cut:]), conv_in.out_channels)


def read_decoder(module: nn.Module) -> Network:
    """Read the layers of a decoder (latent -> picture). Raises `UnknownNetworkError`."""
    read = _Reader("decoder")
    read.children(module, {"conv_in", "up", "mid", "norm_out", "conv_out"})
    if getattr(module, "give_pre_end", False):
        raise read.unknown("it ends before its last layer (give_pre_end)")
    layers: list[Layer] = [Convolve(read.conv(module, "conv_in")), *read.middle(module)]
    # ldm keeps the level of the picture's own resolution first and runs it last.
    for index, level in reversed(list(enumerate(read.levels(module, "up")))):
        layers += read.level(level, "upsample")
        layers += read.resample(level, "upsample", last=index == 0)
    head = read.head(module)
    layers.append(head)
    cut = min([i for i, layer in enumerate(layers) if layer.scale > 1][-_HIGH_RES:], default=len(layers) - 1)
    return Network(tuple(layers[cut:]), tuple(layers[:cut]), head.conv.in_channels)


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
        part = getattr(module, name, None)
        if part is None:
            raise self.unknown(f"it has no part called {name}")
        return part

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
            raise self.unknown(f"{name} is not a group norm")
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
        present = [name for name in shortcuts if getattr(block, name, None) is not None]
        shortcut = self.conv(block, present[0], shortcuts[present[0]]) if present else None
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
        has_conv = getattr(block, "conv", None) is not None
        if name == "downsample":
            yield Downsample(self.conv(block, "conv", stride=2) if has_conv else None)
        else:
            yield Upsample(self.conv(block, "conv") if has_conv else None)

    def head(self, module: nn.Module) -> Convolve:
        has_tanh = bool(getattr(module, "tanh_out", False))
        return Convolve(self.conv(module, "conv_out"), self.norm(module, "norm_out"), has_tanh)
