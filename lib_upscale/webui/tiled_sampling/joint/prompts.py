"""Prompts of single tiles under the joint method, encoded by the host's model of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.sampling import empty_prompt, encode_prompt, prompt_at
from lib_upscale.webui.tiled_sampling.joint.conditioning import NONE, Encoded, TileConditioning

__all__ = ["conditioning_of"]

_POOLED = 1280
"""Numbers of SDXL's vector that are the pooled text."""


def conditioning_of(p: Any, prompts: Mapping[int, str], steps: int) -> TileConditioning:
    """The conditioning for tiles of which those in `prompts` have one of their own. Encodes each of them once."""
    if not prompts:
        return NONE
    encoder = _Encoder(p, steps)
    for prompt in set(prompts.values()):
        encoder.encode(prompt, 0)
    return TileConditioning(dict(prompts), encoder.encode, empty_prompt)


class _Encoder:
    """The host's text encoder, asked once for each prompt and model: a refiner has another one."""

    def __init__(self, p: Any, steps: int) -> None:
        self._p, self._steps = p, steps
        self._known: dict[tuple[int, str], Any] = {}

    def encode(self, prompt: str, step: int) -> Encoded:
        key = (id(loaded_model()), prompt)
        if key not in self._known:
            self._known[key] = self._learned(prompt)
        found = prompt_at(self._known[key], step)
        if isinstance(found, Tensor):
            return Encoded(found[0])
        vector = found.get("vector")
        return Encoded(found["crossattn"][0], None if vector is None else vector[0][:_POOLED])

    def _learned(self, prompt: str) -> Any:
        return encode_prompt(prompt, self._p.width, self._p.height, self._steps)
