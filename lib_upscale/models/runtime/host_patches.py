"""Undoes what a program around this library has changed in spandrel's classes, for single networks."""

from __future__ import annotations

import types

import torch

__all__ = ["use_original_forwards"]


def use_original_forwards(network: torch.nn.Module) -> None:
    """Have a network run with spandrel's own functions where another program has replaced them.

    Forge Neo replaces `forward` of ESRGAN's blocks for everybody by one that takes the number of channels for 64,
    whatever it is. The class stays as that program wants it; only this network gets the originals, which the
    replacements name as `__wrapped__`.

    Args:
        network: One of spandrel's, as its constructor has made it.
    """
    for module in network.modules():
        package = _package(type(module).__module__)
        forward = type(module).forward
        while isinstance(forward, types.FunctionType) and hasattr(forward, "__wrapped__"):
            if _package(forward.__globals__["__name__"]) in (package, "torch"):
                break  # spandrel's own decorator, or torch's
            forward = forward.__wrapped__
        if forward is not type(module).forward:
            module.forward = types.MethodType(forward, module)


def _package(module_name: str) -> str:
    return module_name.partition(".")[0]
