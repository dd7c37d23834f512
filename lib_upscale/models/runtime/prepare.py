"""Prepares a loaded network once: makes it fast, and finds out what its tiles must be aligned to and need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from lib_upscale.models.identity import NetworkFacts
from lib_upscale.models.runtime.sampling import place_exactly

__all__ = ["activation_bytes", "alignment", "prepare", "set_memory_format"]

_MOST_ALIGNMENT = 256
"""More than that is no alignment that was built in: windows of several sizes have no useful common multiple."""


def prepare(network: torch.nn.Module) -> torch.nn.Module:
    """Make a loaded network ready to compute: evaluation, no gradients, channels_last, fused where it can be."""
    network.eval().requires_grad_(False)
    _fuse_once(network)
    place_exactly(network)
    set_memory_format(network, torch.channels_last)
    return network


def set_memory_format(network: torch.nn.Module, memory_format: torch.memory_format) -> None:
    """Lay out the weights of two-dimensional convolutions; torch's own way fails on weights of other dimensions."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=memory_format)


def _fuse_once(network: torch.nn.Module) -> None:
    """Fuse SPAN's re-parameterized convolutions now instead of at every call, as spandrel's class would."""
    for module in network.modules():
        fuse: Any = getattr(module, "update_params", None)
        fused = getattr(module, "eval_conv", None)
        if callable(fuse) and isinstance(fused, torch.nn.Conv2d):
            with torch.no_grad():
                fuse()
            fused.requires_grad_(False)
            # On this instance only: the class and other instances stay as they are.
            module.update_params = _nothing  # type: ignore[assignment]


def _nothing() -> None:
    """Stand in for a second fusing, which would change nothing."""


def alignment(network: torch.nn.Module, facts: NetworkFacts) -> int:
    """Return what the origins and sizes of tiles should be multiples of, in input pixels.

    It is the least common multiple of what spandrel says (`multiple_of`) and of what the network is built of:
    attention windows, striped windows and pixel-unshuffle. A window counts in the pixels it sees, which an
    unshuffle before it makes larger.
    """
    windows, unshuffles = {1}, {1}
    for module in network.modules():
        windows.update(_sides(module, ("window_size", "split_size")))
        unshuffles.update(_sides(module, ("shuffle_factor",)))
        if isinstance(module, torch.nn.PixelUnshuffle):
            unshuffles.add(module.downscale_factor)
    unshuffle = math.lcm(*unshuffles)
    multiple = facts.size_requirements.multiple_of
    whole = math.lcm(multiple, *(window * unshuffle for window in windows))
    return whole if whole <= _MOST_ALIGNMENT else math.lcm(multiple, unshuffle)


def _sides(module: torch.nn.Module, names: tuple[str, ...]) -> set[int]:
    sides: set[int] = set()
    for name in names:
        value = getattr(module, name, None)
        values = value if isinstance(value, (tuple, list)) else (value,)
        sides.update(int(v) for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0)
    return sides


def activation_bytes(network: torch.nn.Module, call: Callable[[torch.Tensor], Any], sample: torch.Tensor) -> float:
    """Estimate from above how many bytes a network needs for each input pixel, beyond its weights.

    It is twice the largest sum of what one layer reads and writes: a layer's input, its output, and as much again for
    a residual kept aside and for what the layer works with.

    Args:
        network: Whose layers are watched.
        call: Runs the network.
        sample: What it is run on, NCHW.
    """
    largest = 0

    def watch(_module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
        nonlocal largest
        largest = max(largest, _bytes(inputs) + _bytes(outputs))

    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        call(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return 2 * largest / (sample.shape[0] * sample.shape[2] * sample.shape[3])


def _bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, (tuple, list)) else 0
