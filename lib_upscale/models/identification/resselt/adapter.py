"""What all networks of the package resselt have in common: how they are told, built and loaded as spandrel's are."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import torch
from spandrel import Architecture, ImageModelDescriptor, SizeRequirements
from torch import nn

from lib_upscale.models.identification.resselt.source import network_class
from lib_upscale.spread import ceil_div

__all__ = [
    "Built",
    "ResseltArchitecture",
    "Upsampler",
    "build",
    "integers",
    "padding",
    "ratio",
    "sequence_length",
    "unshuffle",
]

MAX_SCALE = 16
"""A file could ask for any."""

State = Mapping[str, Any]


@dataclass(frozen=True)
class Built:
    """A network without its weights, and what the file says of it."""

    network: nn.Module
    scale: int
    input_channels: int
    output_channels: int
    multiple_of: int = 1
    minimum: int = 0
    tags: list[str] = field(default_factory=list)
    optional: tuple[str, ...] = ()
    """Tensors that older files lack: what the network begins with does nothing."""
    ignored: tuple[str, ...] = ()
    """Tensors that some trainers save and the network does without."""
    settle: Callable[[nn.Module], None] | None = None
    """What is done once with the weights, where a network would do it at its first call or at every one."""


class ResseltArchitecture(Architecture[nn.Module]):  # type: ignore[misc]
    """How spandrel loads one of resselt's networks.

    Args:
        architecture: Its id.
        name: What a person calls it.
        keys: Names of tensors that it has; for a tuple, one of these. No other architecture has them all.
        construct: Builds the network for a state dict.
    """

    package = "resselt"
    """Where the network comes from: what to update for a new variant."""

    def __init__(
        self,
        architecture: str,
        name: str,
        keys: tuple[str | tuple[str, ...], ...],
        construct: Callable[[State], Built],
    ) -> None:
        self._keys = tuple((key,) if isinstance(key, str) else key for key in keys)
        self._construct = construct
        super().__init__(id=architecture, name=name, detect=self._detects)

    def _detects(self, state: State) -> bool:
        return all(any(key in state for key in choice) for choice in self._keys)

    def load(self, state_dict: Any) -> ImageModelDescriptor[nn.Module]:
        """The network with its weights."""
        try:
            built = self._construct(state_dict)
        except ImportError as error:  # an older resselt, or one of its own requirements is missing
            raise LookupError(f"its network can't be taken from resselt: {error}") from error
        if not 1 <= built.scale <= MAX_SCALE:
            raise LookupError(f"its scale would be {built.scale}")
        network = built.network
        # What says how the network was built is known by now, and differs between the versions of a trainer.
        state = {name: tensor for name, tensor in state_dict.items() if name not in built.ignored}
        for name, tensor in network.state_dict().items():
            if name.endswith(_DESCRIPTIONS) or (name in built.optional and name not in state):
                state[name] = tensor
        # Some change the dictionary that they are given, and some take its tensors for their own: torch's way for all.
        network.load_state_dict = types.MethodType(nn.Module.load_state_dict, network)  # type: ignore[method-assign]
        descriptor = ImageModelDescriptor(
            network,
            state,
            architecture=self,
            purpose="Restoration" if built.scale == 1 else "SR",
            tags=built.tags,
            supports_half=True,
            supports_bfloat16=True,
            scale=built.scale,
            input_channels=built.input_channels,
            output_channels=built.output_channels,
            size_requirements=SizeRequirements(
                minimum=ceil_div(built.minimum, built.multiple_of) * built.multiple_of, multiple_of=built.multiple_of
            ),
        )
        del network.load_state_dict
        if built.settle is not None and not any(parameter.device.type == "meta" for parameter in network.parameters()):
            with torch.no_grad():
                built.settle(network)
        return descriptor


_DESCRIPTIONS = ("MetaUpsample", "MetaIGConv")


def build(architecture: str, name: str, **arguments: Any) -> nn.Module:
    """Construct one of resselt's networks."""
    return network_class(architecture, name)(**arguments)


@dataclass(frozen=True)
class Upsampler:
    """What a network's last part says of itself, in a tensor that its trainer saves with the weights."""

    method: str
    scale: int
    output_channels: int
    middle: int
    """Its inner width."""

    @classmethod
    def read(cls, state: State, name: str) -> Upsampler:
        """Read it from the tensor `name`."""
        _, method, scale, _, output_channels, middle, *_ = integers(state, name)
        if not 0 <= method < len(_METHODS):
            raise LookupError(f"it has an upsampler of unknown kind {method}")
        if not (1 <= scale <= MAX_SCALE and output_channels > 0 and middle > 0):
            raise LookupError(f"its upsampler would have the scale {scale}")
        return cls(_METHODS[method], scale, output_channels, middle)


_METHODS = (
    *("conv", "pixelshuffledirect", "pixelshuffle", "nearest+conv", "dysample", "transpose+conv", "lda", "pa_up"),
)
"""In the order of the numbers that stand for them; SMoSR's differs from the sixth on."""


def integers(state: State, name: str) -> list[int]:
    """The values of a small tensor of whole numbers, whatever type it was saved in."""
    return [round(float(value)) for value in state[name].flatten().tolist()]


def sequence_length(state: State, prefix: str) -> int:
    """How many layers a sequence has whose names begin with `prefix` and a number."""
    start = f"{prefix}."
    numbers = (name[len(start) :].partition(".")[0] for name in state if name.startswith(start))
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1


def ratio(part: int, whole: int) -> float:
    """The share that `int(whole * share)` makes `part` of, whatever rounding loses."""
    return (part + 1e-4) / whole


def padding(network: nn.Module) -> int:
    """What a network reflects the sides of its input to a multiple of, as it says itself."""
    return int(getattr(network, "pad"))  # noqa: B009 - of torch's modules only this has a type of its own


def unshuffle(state: State, name: str, channels: int) -> int:
    """The factor of the pixel-unshuffle before the convolution `name`, for images of `channels` channels."""
    factor = isqrt(state[name].shape[1] // channels)
    if factor not in (2, 4):
        raise LookupError(f"its pixel-unshuffle would have the factor {factor}")
    return factor
