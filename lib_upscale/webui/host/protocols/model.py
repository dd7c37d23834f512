"""What is relied on of the WebUI's Stable Diffusion model, its samplers, and the Forge family's patchers."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = [
    "HostCheckpointInfo",
    "HostDenoiser",
    "HostForgeObjects",
    "HostMemoryManagement",
    "HostModel",
    "HostSampler",
    "HostUnetPatcher",
    "HostVae",
]


class HostCheckpointInfo(Protocol):
    """One entry of `sd_models.checkpoints_list`."""

    name: str
    """Its file below the checkpoint folder."""
    title: str
    """What it is called in the list; a value of the setting `sd_model_checkpoint`."""
    filename: str
    """Its path."""


class HostVae(Protocol):
    """The model's VAE."""

    encoder: nn.Module
    """Called with images (batch, 3, height, width), -1 to 1."""
    decoder: nn.Module
    """Called with latents."""


class HostModel(Protocol):
    """`shared.sd_model`: AUTOMATIC1111's has `first_stage_model`, the Forge family's `forge_objects`."""

    cond_stage_model_empty_prompt: Tensor | dict[str, Tensor]
    """The encoded empty prompt, a tensor or a dictionary of some. The Forge family has none."""
    encode_first_stage: Callable[..., object]
    """Called with images (batch, 3, height, width), -1 to 1, by whatever has the VAE encode them."""
    sd_checkpoint_info: HostCheckpointInfo
    """Its file."""
    forge_objects_original: HostForgeObjects
    """The Forge family: those without LoRAs; `forge_objects` are those of the running generation."""


class _ForgeNetwork(Protocol):
    memory_required: Callable[..., float]
    """Called with the shape of what it is given; bytes."""


class HostUnetPatcher(Protocol):
    """The Forge family's UNet, which is copied before something is put on it."""

    model: _ForgeNetwork
    """The network, which copies share."""
    model_options: MutableMapping[str, Any]
    """`model_function_wrapper` is what another extension has put there."""

    def clone(self) -> HostUnetPatcher:
        """A copy that shares the weights."""

    def refresh_loras(self) -> None:
        """Forge and Forge Neo: put this copy's LoRAs into the weights, in place of those that are there."""

    def set_model_unet_function_wrapper(self, wrapper: Callable[..., Tensor]) -> None:
        """Have `wrapper(apply_model, {input, timestep, c, cond_or_uncond})` called in place of the UNet."""


class _ForgeVae(Protocol):
    """`memory_used_encode` and `memory_used_decode`, called with a shape and a type, give bytes."""

    first_stage_model: HostVae


class HostForgeObjects(Protocol):
    """`sd_model.forge_objects` of the Forge family."""

    unet: HostUnetPatcher
    """What is sampled with; may be exchanged for a clone."""
    vae: _ForgeVae
    """The VAE's patcher."""
    clip: object
    """The text encoder's."""

    def shallow_copy(self) -> HostForgeObjects:
        """Another one with the same patchers."""


class HostMemoryManagement(Protocol):
    """The Forge family's `memory_management`."""

    def minimum_inference_memory(self) -> float:
        """Bytes to keep free for running a network."""

    def free_memory(self, size: float, device: object) -> object:
        """Unload models until so many bytes are free."""

    def get_torch_device(self) -> object:
        """Where models run."""


class HostDenoiser(Protocol):
    """`CFGDenoiser`, which a sampler calls once a step."""

    step: int
    """The step that is being denoised, from 0."""
    inner_model: nn.Module
    """The model as the sampler sees it, called as `forward(x, sigma, cond=...)`; AUTOMATIC1111's way."""
    forward: Callable[..., Tensor]
    """Called with `(x, sigma, uncond, cond, ...)`."""
    update_inner_model: Callable[..., None]
    """Called where the refiner takes over: `inner_model` is another one from then on."""


class HostSampler(Protocol):
    """`p.sampler`."""

    model_wrap_cfg: HostDenoiser
    """What it calls once a step."""
    sample_img2img: Callable[..., Tensor]
    """Denoises a latent from a part of the way; `steps` may be given."""
