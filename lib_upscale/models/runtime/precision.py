"""Chooses the precision that a network computes in: from what was asked for, and from what was seen to work."""

from __future__ import annotations

import torch

from lib_upscale.device import is_out_of_memory, suits_bfloat16
from lib_upscale.errors import UnusableModelError
from lib_upscale.models.identity import NetworkFacts
from lib_upscale.models.runtime.model import Model

__all__ = ["candidates", "choose_precision", "passes_trial"]

_TYPES = {"full": torch.float32, "half": torch.float16, "bfloat16": torch.bfloat16}

_TOLERANCE = 0.05
"""Mean difference from float32, of 0..1, beyond which a trial failed. Sound networks stay below a tenth of it in
bfloat16 (tests/models/runtime/test_precision.py); one that overflows is far beyond."""


def choose_precision(model: Model, precision: str, device: torch.device) -> None:
    """Move a network to a device, in the fastest precision that works there.

    What spandrel says a network supports is what its authors meant, not what was tried: SwinIR and its kin mix float32
    into bfloat16 and fail. So each precision below float32 runs a small trial once, which is remembered; where it
    fails, the network computes in float32, and `model.precision_note` says so.

    Args:
        model: The network, in float32.
        precision: A value of `settings.upscale.Precision`.
        device: Where it is to compute.

    Raises:
        UnusableModelError: The precision was asked for, and the architecture is known not to support it.
        Exception: What torch raises when memory runs out.
    """
    for dtype in candidates(model, precision, device):
        model.to(device, dtype)
        if passes_trial(model):
            return
        model.fall_back()
    model.to(device, torch.float32)


def candidates(model: Model, precision: str, device: torch.device) -> list[torch.dtype]:
    """List the precisions below float32 that are worth a trial, best first.

    Raises:
        UnusableModelError: As for `choose_precision`.
    """
    facts = model.facts
    if precision == "full" or model.measured.per_weights.get("needs_float32"):
        return []
    if precision == "auto":
        return _fast(facts, device)
    allowed = facts.supports_half if precision == "half" else facts.supports_bfloat16
    if not allowed:
        raise UnusableModelError(
            model.path,
            f"can't compute in {precision} precision ({facts.architecture})",
            "set the precision to auto",
        )
    return [_TYPES[precision]]


def _fast(facts: NetworkFacts, device: torch.device) -> list[torch.dtype]:
    # On a CPU half precision is emulated and slower than full.
    if device.type == "cpu":
        return []
    half = [torch.float16] if facts.supports_half else []
    return [*half, *([torch.bfloat16] if facts.supports_bfloat16 and suits_bfloat16(device) else [])]


def passes_trial(model: Model) -> bool:
    """Return whether a network works on its device in its precision; tried once and remembered.

    It must run, give finite values, and about those that it gives in float32 on the same device.

    Raises:
        Exception: What torch raises when memory runs out: that says nothing about the precision.
    """
    scope = model.measured.per_device
    known = scope.get("precision_works")
    if known is None:
        known = _try(model)
        scope.put(precision_works=known)
    return bool(known)


def _try(model: Model) -> bool:
    sample = model.sample()
    noise = torch.rand(sample.shape, generator=torch.Generator().manual_seed(0)).to(sample)
    try:
        output = model.run_unguarded(noise)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False
    if not bool(torch.isfinite(output).all()):
        return False
    try:
        with model.full_precision() as exact:
            expected = exact(noise)
    except Exception as error:
        # Where there is no room for a second copy, that it ran is what can be known.
        if is_out_of_memory(error):
            return True
        raise
    return bool((output - expected).abs().mean() <= _TOLERANCE)
