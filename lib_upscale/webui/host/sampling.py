"""What the host's samplers use: random numbers, encoded prompts, live previews, and how one of them is stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import cast

from torch import Tensor

from lib_upscale.image.geometry import Size
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import loaded_model
from lib_upscale.webui.host.protocols import HostProcessing, HostTxt2Img

__all__ = [
    "count_evaluations",
    "distribution_modules",
    "empty_prompt",
    "encode_prompt",
    "image_rng",
    "interrupted_error",
    "negative_prompt",
    "prompt_at",
    "prompt_steps",
    "samplers_module",
]


_EMPTY = Size(512, 512)
"""For which the empty prompt is encoded: the size changes SDXL's vector alone, not the text."""
_DISTRIBUTIONS = (
    "ldm.modules.distributions.distributions",
    "sgm.modules.distributions.distributions",
    "ldm_patched.ldm.modules.distributions.distributions",
    "backend.nn.vae",
    "modules.models.sd3.sd3_impls",
)
"""Where hosts keep the distribution that the VAE's encoder gives."""


def samplers_module() -> ModuleType:
    """The host's module that has `store_latent`, which every step of a sampler calls for the live preview."""
    from modules import sd_samplers_common

    module: ModuleType = sd_samplers_common
    return module


def count_evaluations(sampler: str | None, steps: int) -> int:
    """How often a sampler runs the UNet in so many steps: twice a step where it is of second order."""
    from modules import sd_samplers

    config = sd_samplers.find_sampler_config(sampler)
    return int(config.total_steps(steps)) if config else steps


def distribution_modules() -> list[ModuleType]:
    """The host's modules that draw what the VAE's encoder gives, by their `torch.randn` or `torch.randn_like`."""
    return [sys.modules[name] for name in _DISTRIBUTIONS if name in sys.modules]


def interrupted_error() -> BaseException:
    """What the host raises within a sampler to end it in good order."""
    error: BaseException = samplers_module().InterruptedException()
    return error


def image_rng(
    shape: tuple[int, ...], seed: int, subseed: int, subseed_strength: float, resize_from: tuple[int, int]
) -> Callable[[], Tensor]:
    """The random numbers of one image of the host: the first call gives the noise to start from, others that of steps.

    Args:
        shape: Of its latent, see `latent_shape`.
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


def encode_prompt(
    prompt: str, size: Size, steps: tuple[int, int | None] = (1, None), *, is_negative: bool = False
) -> object:
    """A prompt encoded by the loaded model, for all steps of a sampling.

    Args:
        prompt: Without networks.
        size: Of the image in pixels, which changes SDXL's vector alone.
        steps: What `prompt_steps` gives.
        is_negative: Whether it is a negative prompt: an empty one is not encoded for SDXL.
    """
    from modules import devices, prompt_parser

    prompts = prompt_parser.SdConditioning(
        [prompt], width=size.width, height=size.height, is_negative_prompt=is_negative
    )
    is_old = environment.option("use_old_scheduling", False)
    with devices.autocast():
        schedule: object = prompt_parser.get_learned_conditioning(loaded_model(), prompts, *steps, is_old)
    return schedule


def negative_prompt(p: HostProcessing) -> str:
    """The negative prompt of the pass of `p` that is under way, of its first image."""
    is_second = getattr(p, "is_hr_pass", False)
    return str(cast(HostTxt2Img, p).hr_negative_prompts[0] if is_second else p.negative_prompts[0])


def prompt_steps(p: HostProcessing) -> tuple[int, int | None]:
    """The steps by which prompts change, as the host counts them: some samplers take two for each of the page's.

    Args:
        p: The host's parameters, whose prompts have been encoded.

    Returns:
        Those of the only or first pass, and those of hires fix's second pass, if it is that one's turn.
    """
    first = count_evaluations(p.sampler_name, p.steps)
    if not getattr(p, "is_hr_pass", False):
        return first, None
    second = cast(HostTxt2Img, p)
    return first, count_evaluations(second.hr_sampler_name or p.sampler_name, second.hr_second_pass_steps or p.steps)


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
        empty = prompt_at(encode_prompt("", _EMPTY), 0)
    text: Tensor = empty if isinstance(empty, Tensor) else empty["crossattn"]
    return text[0] if text.dim() == 3 else text
