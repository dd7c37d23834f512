"""Prompts of single tiles under the joint method, encoded by the host's loaded model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lib_upscale.image.geometry import Size
from lib_upscale.webui.host.extra_networks import NetworkSwitch, network_switch, without_networks
from lib_upscale.webui.host.model import is_xl, loaded_model
from lib_upscale.webui.host.protocols import HostProcessing
from lib_upscale.webui.host.sampling import empty_prompt, encode_prompt, negative_prompt, prompt_at, prompt_steps
from lib_upscale.webui.tiled_sampling.joint.conditioning import NONE, Encoded, Side, TileConditioning

__all__ = ["conditioning_of"]

_POOLED = 1280
"""Numbers of SDXL's vector that are the pooled text; behind them are sizes. That of Stable Diffusion 3 is all text."""


def conditioning_of(p: HostProcessing, prompts: Mapping[int, str]) -> TileConditioning:
    """The conditioning for tiles of which some have a prompt of their own. Encodes each prompt once.

    Networks that such a prompt names take the place of the image's own, as in the method tiles.

    Args:
        p: The host's parameters, whose own prompts are encoded and whose networks are active.
        prompts: Number of a tile -> its prompt.
    """
    if not prompts:
        return NONE
    networked = frozenset(prompt for prompt in prompts.values() if without_networks(prompt) != prompt)
    switch = network_switch(p) if networked else None
    encoder = _Encoder(p, switch, networked)
    for prompt in set(prompts.values()):
        encoder.encode(prompt, 0, Side.PROMPT)
    return TileConditioning(dict(prompts), encoder.encode, empty_prompt, switch, networked)


class _Encoder:
    """The host's text encoder, asked once for each text and model: a refiner has another one."""

    def __init__(self, p: HostProcessing, switch: NetworkSwitch | None, networked: frozenset[str]) -> None:
        self._p, self._switch, self._networked = p, switch, networked
        self._steps = prompt_steps(p)
        self._known: dict[tuple[int, str, Side], object] = {}

    def encode(self, prompt: str, step: int, side: Side) -> Encoded:
        key = (id(loaded_model()), prompt, side)
        if key not in self._known:
            self._known[key] = self._encode(prompt, is_negative=side is Side.NEGATIVE)
        conditioning = prompt_at(self._known[key], step)
        if isinstance(conditioning, Tensor):
            return Encoded(conditioning[0])
        vector = conditioning.get("vector")
        if vector is None:
            return Encoded(conditioning["crossattn"][0])
        return Encoded(conditioning["crossattn"][0], vector[0][:_POOLED] if is_xl(loaded_model()) else vector[0])

    def _encode(self, prompt: str, *, is_negative: bool) -> object:
        size = Size(self._p.width, self._p.height)
        if self._switch is None or prompt not in self._networked:
            return encode_prompt(prompt, size, self._steps, is_negative=is_negative)
        text = negative_prompt(self._p) if is_negative else without_networks(prompt)
        with self._switch.encoding(prompt):
            return encode_prompt(text, size, self._steps, is_negative=is_negative)
