"""Prompts of single tiles under the joint method, encoded by the host's loaded model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.protocols import HostProcessing
from lib_upscale.webui.host.sampling import empty_prompt, encode_prompt, prompt_at
from lib_upscale.webui.tiled_sampling.joint.conditioning import NONE, Encoded, TileConditioning

__all__ = ["conditioning_of"]

_POOLED = 1280
"""Numbers of SDXL's vector that are the pooled text."""


def conditioning_of(p: HostProcessing, prompts: Mapping[int, str], steps: int) -> TileConditioning:
    """The conditioning for tiles of which some have a prompt of their own. Encodes each prompt once.

    Args:
        p: The host's parameters, whose size SDXL's conditioning names.
        prompts: Number of a tile -> its prompt.
        steps: Steps of the sampling, by which prompts may change.
    """
    if not prompts:
        return NONE
    encoder = _Encoder(p, steps)
    for prompt in set(prompts.values()):
        encoder.encode(prompt, 0)
    return TileConditioning(dict(prompts), encoder.encode, empty_prompt)


class _Encoder:
    """The host's text encoder, asked once for each prompt and model: a refiner has another one."""

    def __init__(self, p: HostProcessing, steps: int) -> None:
        self._p, self._steps = p, steps
        self._known: dict[tuple[int, str], object] = {}

    def encode(self, prompt: str, step: int) -> Encoded:
        key = (id(loaded_model()), prompt)
        if key not in self._known:
            self._known[key] = encode_prompt(prompt, self._p.width, self._p.height, self._steps)
        conditioning = prompt_at(self._known[key], step)
        if isinstance(conditioning, Tensor):
            return Encoded(conditioning[0])
        vector = conditioning.get("vector")
        return Encoded(conditioning["crossattn"][0], None if vector is None else vector[0][:_POOLED])
