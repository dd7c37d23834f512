"""What hires fix's first pass ends with, and its images where there is no second one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib_upscale.webui.host.processing import as_decoded_samples, decode_latents
from lib_upscale.webui.host.protocols import HostTxt2Img

__all__ = ["FirstPass"]


@dataclass(frozen=True, eq=False)
class FirstPass:
    """What the host calls its second pass with."""

    samples: Tensor
    """Latents (images, channels, height, width)."""
    decoded: Sequence[Tensor] | None
    """Images (3, height, width), -1 to 1, where the upscaler enlarges images; None where it enlarges latents."""
    arguments: tuple[object, ...]
    """Seeds, subseeds, strength of the subseeds, prompts."""

    def continue_with(self, second_pass: Callable[..., Sequence[Tensor]]) -> list[Tensor]:
        """Call the host's second pass; images (3, height, width), -1 to 1."""
        return list(second_pass(self.samples, self.decoded, *self.arguments))

    def images(self, p: HostTxt2Img) -> list[Tensor]:
        """The images of the first pass as the host takes finished ones: (3, height, width), -1 to 1, on the CPU."""
        if self.decoded is not None:
            return as_decoded_samples([image.float().cpu() for image in self.decoded])
        image = getattr(p, "firstpass_image", None)
        if image is not None:
            values = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32).copy())
            return as_decoded_samples([values.permute(2, 0, 1) / 127.5 - 1])
        return decode_latents(p.sd_model, self.samples)
