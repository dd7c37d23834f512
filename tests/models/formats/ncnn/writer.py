"""Writes spandrel's networks as ncnn pairs, in the ways that onnx2ncnn with ncnnoptimize and pnnx do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HALF = 0x01306B47


def randomized(model: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Module:
    """The network with random weights that keep values near 0..1 from layer to layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (scale / fan**0.5))
            if parameter.dim() == 1 and name.endswith("weight"):  # slopes of a PReLU
                parameter.copy_(0.1 + 0.2 * torch.rand(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


@dataclass
class Pair:
    """A network as it is written: operations on values, which are numbers."""

    pnnx: bool = False
    """Activations and factors as layers of their own, and every parameter written out, as pnnx does."""
    half: bool = True
    names: str = "blob"
    operations: list[tuple[str, tuple[int, ...], str, bytes]] = field(default_factory=list)

    def op(self, kind: str, *inputs: int, p: str = "", data: bytes = b"") -> int:
        self.operations.append((kind, inputs, p, data))
        return len(self.operations) - 1

    def picture(self) -> int:
        return self.op("Input")

    def conv(self, value: int, weight: torch.Tensor, bias: torch.Tensor | None, slope: float | None = None) -> int:
        outputs, _, kernel, _ = weight.shape
        p = f"0={outputs} 1={kernel} 4={kernel // 2} 5={int(bias is not None)} 6={weight.numel()}"
        if self.pnnx:
            p += f" 11={kernel} 12=1 13=1 14={kernel // 2} 2=1 3=1"
        data = self._tagged(weight) + (b"" if bias is None else _floats(bias))
        if slope is None:
            return self.op("Convolution", value, p=p, data=data)
        if not self.pnnx:
            return self.op("Convolution", value, p=f"{p} 9=2 -23310=1,{slope:e}", data=data)
        return self.op("ReLU", self.op("Convolution", value, p=p, data=data), p=f"0={slope:e}")

    def module(self, value: int, conv: nn.Conv2d, slope: float | None = None) -> int:
        return self.conv(value, conv.weight, conv.bias, slope)

    def add(self, a: int, b: int) -> int:
        return self.op("BinaryOp", a, b, p="0=0" if self.pnnx else "")

    def add_scaled(self, a: int, b: int, factor: float = 0.2) -> int:
        if self.pnnx:
            return self.add(self.op("BinaryOp", a, p=f"0=2 1=1 2={factor:e}"), b)
        return self.op("Eltwise", a, b, p=f"0=1 -23301=2,{factor:e},1.000000e+00")

    def nearest(self, value: int, factor: int) -> int:
        return self.op("Interp", value, p=f"0=1 1={factor:e} 2={factor:e}" + (" 6=0" if self.pnnx else ""))

    def _tagged(self, weight: torch.Tensor) -> bytes:
        if not self.half:
            return bytes(4) + _floats(weight)
        content = weight.numpy().astype("<f2").tobytes()
        return HALF.to_bytes(4, "little") + content + bytes(-len(content) % 4)

    def text(self) -> str:
        """The `.param`: a value that is used more than once goes through a Split, as ncnn demands."""
        uses = [
            sum(inputs.count(value) for _, inputs, _, _ in self.operations) for value in range(len(self.operations))
        ]
        lines, blobs, taken = [], 0, [0] * len(self.operations)
        for place, (kind, inputs, p, _) in enumerate(self.operations):
            sources = []
            for value in inputs:
                sources.append(f"{self.names}{value}" + (f"_{taken[value]}" if uses[value] > 1 else ""))
                taken[value] += 1
            result = f"{self.names}{place}"
            blobs += 1
            lines.append(f"{kind:16} l{place} {len(inputs)} 1 {' '.join([*sources, result])} {p}".rstrip())
            if uses[place] > 1:
                blobs += uses[place]
                copies = " ".join(f"{result}_{i}" for i in range(uses[place]))
                lines.append(f"Split s{place} 1 {uses[place]} {result} {copies}")
        return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])

    def write(self, folder: Path, name: str = "model") -> Path:
        param = folder / f"{name}.param"
        param.write_text(self.text(), encoding="ascii")
        param.with_suffix(".bin").write_bytes(b"".join(data for _, _, _, data in self.operations))
        return param


def _floats(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().astype("<f4").tobytes()


def halved(model: nn.Module) -> nn.Module:
    """The network with the weights of its convolutions as a half precision file keeps them."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(module.weight.half().float())
    return model


def esrgan_pair(model: Any, pair: Pair) -> Pair:
    first, shortcut, *tail = list(model.model)
    value = pair.picture()
    if model.shuffle_factor:
        value = pair.op("Reorg", value, p=f"0={model.shuffle_factor} 1=0")
    fea = value = pair.module(value, first)
    *blocks, lr_conv = list(shortcut.sub)
    for block in blocks:
        start = value
        for rdb in (block.RDB1, block.RDB2, block.RDB3):
            value = _dense_block(pair, rdb, value)
        value = pair.add_scaled(value, start)
    value = pair.add(fea, pair.module(value, lr_conv))
    convolutions = [module for module in tail if isinstance(module, nn.Conv2d)]
    ups = sum(isinstance(module, nn.Upsample) for module in tail)
    for place, conv in enumerate(convolutions):
        if place < ups:
            value = pair.nearest(value, 2)
        value = pair.module(value, conv, None if conv is convolutions[-1] else 0.2)
    return pair


def _dense_block(pair: Pair, rdb: Any, start: int) -> int:
    features = [start]
    value = start
    for conv in (rdb.conv1, rdb.conv2, rdb.conv3, rdb.conv4):
        features.append(pair.module(value, conv[0], 0.2))
        value = pair.op("Concat", *features, p="0=0" if pair.pnnx else "")
    return pair.add_scaled(pair.module(value, rdb.conv5[0]), start)


def compact_pair(model: Any, pair: Pair, activation: str = "prelu", resize: float | None = None) -> Pair:
    picture = value = pair.picture()
    for module in model.body:
        if isinstance(module, nn.Conv2d):
            value = pair.module(value, module)
        elif activation == "leaky":
            value = pair.op("ReLU", value, p="0=1.000000e-01")
        else:
            value = pair.op("PReLU", value, p=f"0={module.weight.numel()}", data=_floats(module.weight))
    if model.upscale == 1:
        value = pair.add(pair.op("PixelShuffle", value, p="0=1"), picture)
    else:
        value = pair.op("PixelShuffle", value, p=f"0={model.upscale}" + (" 1=0" if pair.pnnx else ""))
        value = pair.add(value, pair.nearest(picture, model.upscale))
    if resize is not None:
        pair.op("Interp", value, p=f"0=3 1={resize:e} 2={resize:e}")
    return pair


def span_pair(model: Any, pair: Pair, mean: tuple[float, ...] | None = None, reach: float | None = 255.0) -> Pair:
    value = pair.picture()
    if mean is not None:
        constant = pair.op("MemoryData", p="0=1 1=1 2=3", data=np.array(mean, "<f4").tobytes())
        value = pair.op("BinaryOp", value, constant, p="0=1")
        if reach is not None:
            value = pair.op("BinaryOp", value, p=f"0=2 1=1 2={reach:e}")
    first = value = pair.module(value, model.conv_1.eval_conv)
    results = []
    for block in (model.block_1, model.block_2, model.block_3, model.block_4, model.block_5, model.block_6):
        value, inner = _attention_block(pair, block, value)
        results.append(value)
    last = pair.module(value, model.conv_2.eval_conv)
    value = pair.op("Concat", first, last, results[0], inner, p="0=0" if pair.pnnx else "")
    value = pair.module(pair.module(value, model.conv_cat), model.upsampler[0])
    pair.op("PixelShuffle", value, p=f"0={model.upsampler[1].upscale_factor}")
    return pair


def _attention_block(pair: Pair, block: Any, start: int) -> tuple[int, int]:
    inner = pair.op("Swish", pair.module(start, block.c1_r.eval_conv))
    value = pair.op("Swish", pair.module(inner, block.c2_r.eval_conv))
    value = pair.module(value, block.c3_r.eval_conv)
    attention = pair.op("BinaryOp", pair.op("Sigmoid", value), p="0=1 1=1 2=5.000000e-01")
    return pair.op("BinaryOp", pair.add(value, start), attention, p="0=2"), inner
