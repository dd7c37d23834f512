"""Prompts of single tiles under the joint method, encoded by the host's model of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lib_upscale.webui.host import environment as host
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
    return TileConditioning(dict(prompts), encoder.encode, _empty_prompt)


class _Encoder:
    """The host's text encoder, asked once for each prompt and model: a refiner has another one."""

    def __init__(self, p: Any, steps: int) -> None:
        self._p, self._steps = p, steps
        self._known: dict[tuple[int, str], Any] = {}

    def encode(self, prompt: str, step: int) -> Encoded:
        from modules import prompt_parser

        key = (id(host.shared.sd_model), prompt)
        if key not in self._known:
            self._known[key] = self._learned(prompt)
        found = prompt_parser.reconstruct_cond_batch(self._known[key], step)
        if not isinstance(found, dict):
            return Encoded(found[0])
        vector = found.get("vector")
        return Encoded(found["crossattn"][0], None if vector is None else vector[0][:_POOLED])

    def _learned(self, prompt: str) -> Any:
        from modules import devices, prompt_parser

        width, height = self._p.width, self._p.height
        asked = prompt_parser.SdConditioning([prompt], width=width, height=height)
        with devices.autocast():
            return prompt_parser.get_learned_conditioning(host.shared.sd_model, asked, self._steps)


def _empty_prompt() -> Tensor:
    empty: Any = host.shared.sd_model.cond_stage_model_empty_prompt
    found: Tensor = empty["crossattn"] if isinstance(empty, dict) else empty
    return found[0] if found.dim() == 3 else found
