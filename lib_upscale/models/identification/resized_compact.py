"""Compact with a bicubic resize at its end, which spandrel does not have.

Real-ESRGAN's animevideov3 for 2 and 3 is such an ncnn network: the network for 4, then a resize by a half or three
quarters. Its state dict is that of Compact with one tensor more, `resized_to`, whose length is the scale; a length
survives where values do not: on the meta device, in half precision.
"""

from __future__ import annotations

from typing import Any

from spandrel import Architecture, ArchSupport, ImageModelDescriptor
from spandrel.architectures.Compact import CompactArch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RESIZED_COMPACT", "ResizedCompact", "ResizedCompactArch"]

_MARK = "resized_to"
MAX_SCALE = 16
"""A file could ask for any."""


class ResizedCompact(nn.Module):
    """A network, and its result resized to `scale` times the size of the input, as ncnn does it."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """`x` is NCHW, RGB, 0..1; the result has `scale` times its height and width."""
        size = (x.shape[-2] * self.scale, x.shape[-1] * self.scale)
        return functional.interpolate(self.network(x), size=size, mode="bicubic", align_corners=False)


class ResizedCompactArch(Architecture[ResizedCompact]):  # type: ignore[misc]
    """How spandrel loads it. Its descriptor says "Compact", since that is what a person calls it."""

    def __init__(self) -> None:
        self._compact = CompactArch()
        super().__init__(id="ResizedCompact", name=self._compact.name, detect=self._detects)

    def _detects(self, state: Any) -> bool:
        if _MARK not in state or not self._compact.detect(state):
            return False
        shape = tuple(state[_MARK].shape)
        return len(shape) == 1 and 1 <= shape[0] <= MAX_SCALE

    def load(self, state_dict: Any) -> ImageModelDescriptor[ResizedCompact]:
        """The network with its weights, and the scale after the resize."""
        weights = {key: value for key, value in state_dict.items() if key != _MARK}
        compact = self._compact.load(weights)
        scale = state_dict[_MARK].shape[0]
        return ImageModelDescriptor(
            ResizedCompact(compact.model, scale),
            {f"network.{key}": value for key, value in weights.items()},
            architecture=self._compact,
            purpose="Restoration" if scale == 1 else "SR",
            tags=[*compact.tags, "resized"],
            supports_half=compact.supports_half,
            supports_bfloat16=compact.supports_bfloat16,
            scale=scale,
            input_channels=compact.input_channels,
            output_channels=compact.output_channels,
        )


RESIZED_COMPACT = ArchSupport.from_architecture(ResizedCompactArch(), before=("Compact",))
"""For a copy of spandrel's registry: it must be asked before Compact, whose tensors it has too."""
