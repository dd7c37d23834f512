"""A small VAE of Stable Diffusion's structure, written plainly: the whole picture at once is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 4


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class Resnet(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inner), nn.Conv2d(inner, outer, 3, padding=1)
        self.norm2, self.conv2 = norm(outer), nn.Conv2d(outer, outer, 3, padding=1)
        if inner != outer:
            self.nin_shortcut = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (conv(h).flatten(2).transpose(1, 2) for conv in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(1, 2) * x.shape[1] ** -0.5, dim=2)
        return x + self.proj_out((weights @ v).transpose(1, 2).reshape(x.shape))


class Down(nn.Module):
    def __init__(self, channels: int, with_conv: bool) -> None:
        super().__init__()
        if with_conv:
            self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1))) if hasattr(self, "conv") else F.avg_pool2d(x, 2)


class Up(nn.Module):
    def __init__(self, channels: int, with_conv: bool) -> None:
        super().__init__()
        if with_conv:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.conv(x) if hasattr(self, "conv") else x


class Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1, self.block_2 = Resnet(channels, channels), Resnet(channels, channels)
        self.attn_1 = Attention(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    def __init__(self, widths: Sequence[int], attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(Resnet(a, b) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(Attention(b) for b in widths[1:]) if attention else nn.ModuleList()

    def blocks(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[index](x)
        return x


class Encoder(nn.Module):
    """Pixels (3 channels) -> moments (8 channels) of 1 / 2**(levels - 1) the side, rounded down."""

    def __init__(self, widths: Sequence[int] = (8, 8, 16), with_conv: bool = True, attention: bool = False) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        before = widths[0]
        for index, width in enumerate(widths):
            level = Level((before, width), attention and index == len(widths) - 1)
            if index < len(widths) - 1:
                level.downsample = Down(width, with_conv)
            self.down.append(level)
            before = width
        self.mid = Middle(before)
        self.norm_out, self.conv_out = norm(before), nn.Conv2d(before, 8, 3, padding=1)
        shake(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level.blocks(x)
            x = level.downsample(x) if hasattr(level, "downsample") else x
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Latent (4 channels) -> pixels (3 channels) of 2**(levels - 1) times the side."""

    def __init__(self, widths: Sequence[int] = (8, 8, 16), with_conv: bool = True, tanh: bool = False) -> None:
        super().__init__()
        before = widths[-1]
        self.conv_in, self.mid = nn.Conv2d(4, before, 3, padding=1), Middle(before)
        levels = []
        for index, width in reversed(list(enumerate(widths))):
            level = Level((before, width, width), False)
            if index:
                level.upsample = Up(width, with_conv)
            levels.insert(0, level)
            before = width
        self.up = nn.ModuleList(levels)
        self.norm_out, self.conv_out = norm(before), nn.Conv2d(before, 3, 3, padding=1)
        self.tanh_out = tanh
        shake(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level.blocks(x)
            x = level.upsample(x) if hasattr(level, "upsample") else x
        x = self.conv_out(F.silu(self.norm_out(x)))
        return torch.tanh(x) if self.tanh_out else x


def shake(module: nn.Module) -> None:
    """Norms of their own: a weight or bias that was left out would be seen."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.GroupNorm):
            part.weight.data = 1 + 0.5 * torch.randn(part.weight.shape, generator=generator)
            part.bias.data = 0.5 * torch.randn(part.bias.shape, generator=generator)


def picture(height: int, width: int, channels: int = 3, batch: int = 1, seed: int = 0) -> Tensor:
    """Noise over a strong slope and a bright corner: tiles differ in mean and in variance."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 * torch.randn(batch, channels, height, width, generator=generator)
    x += torch.linspace(-1, 1, height)[None, None, :, None] + 0.5 * torch.linspace(-1, 1, width)
    x[:, :, : height // 3, : width // 3] *= 3
    return x
