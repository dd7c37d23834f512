"""What the host's samplers use: random numbers, encoded prompts, live previews, and how one of them is stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType

from torch import Tensor

from lib_upscale.webui.host.model import loaded_model

__all__ = [
    "distribution_modules",
    "empty_prompt",
    "encode_prompt",
    "image_rng",
    "interrupted_error",
    "prompt_at",
    "samplers_module",
]


_EMPTY_SIDE = 512
"""Pixels a side that the empty prompt is encoded for: the size changes SDXL's vector alone, not the text."""
_DISTRIBUTIONS = (
    "ldm.modules.distributions.distributions",
    "sgm.modules.distributions.distributions",
    "backend.nn.vae",
)
"""Where hosts keep the distribution that the VAE's encoder gives."""


def samplers_module() -> ModuleType:
    """The host's module that has `store_latent`, which every step of a sampler calls for the live preview."""
    from modules import sd_samplers_common

    module: ModuleType = sd_samplers_common
    return module


def distribution_modules() -> list[ModuleType]:
    """The host's modules that draw what the VAE's encoder gives, by their `torch.randn`."""
    return [sys.modules[name] for name in _DISTRIBUTIONS if name in sys.modules]


def interrupted_error() -> BaseException:
    """What the host raises within a sampler to end it in good order."""
    error: BaseException = samplers_module().InterruptedException()
    return error


def image_rng(
    shape: tuple[int, int, int], seed: int, subseed: int, subseed_strength: float, resize_from: tuple[int, int]
) -> Callable[[], Tensor]:
    """The random numbers of one image of the host: the first call gives the noise to start from, others that of steps.

    Args:
        shape: (channels, height, width) of its latent.
        seed: The image's seed.
        subseed: Its variation seed.
        subseed_strength: 0 to 1.
        resize_from: "Resize seed from", (height, width) in pixels; 0 where it is off.
    """
    from modules import rng

    source = rng.ImageRNG(
        shape,
        [seed],
        subseeds=[subseed],
        subseed_strength=subseed_strength,
        seed_resize_from_h=resize_from[0],
        seed_resize_from_w=resize_from[1],
    )
    return lambda: source.next()[0]


def encode_prompt(prompt: str, width: int, height: int, steps: int) -> object:
    """A prompt encoded by the loaded model, for all steps of a sampling."""
    from modules import devices, prompt_parser

    prompts = prompt_parser.SdConditioning([prompt], width=width, height=height)
    with devices.autocast():
        schedule: object = prompt_parser.get_learned_conditioning(loaded_model(), prompts, steps)
    return schedule


def prompt_at(encoded: object, step: int) -> Tensor | Mapping[str, Tensor]:
    """What `encode_prompt` gave, at one step: (1, tokens, channels), or SDXL's `crossattn` and `vector`."""
    from modules import prompt_parser

    conditioning: Tensor | Mapping[str, Tensor] = prompt_parser.reconstruct_cond_batch(encoded, step)
    return conditioning


def empty_prompt() -> Tensor:
    """The encoded empty prompt, (tokens, channels), with which the host makes prompts equally long.

    Forge and Forge Neo do not keep one: there it is encoded.
    """
    empty = getattr(loaded_model(), "cond_stage_model_empty_prompt", None)
    if empty is None:
        empty = prompt_at(encode_prompt("", _EMPTY_SIDE, _EMPTY_SIDE, 1), 0)
    text: Tensor = empty if isinstance(empty, Tensor) else empty["crossattn"]
    return text[0] if text.dim() == 3 else text
