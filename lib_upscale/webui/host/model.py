"""The loaded Stable Diffusion model, its VAE and text encoder, and the memory that models take."""

from __future__ import annotations

import contextlib
import importlib
from typing import cast

import torch
from PIL import Image

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.console import report
from lib_upscale.webui.host.protocols import HostModel, HostProcessing, HostVae

__all__ = [
    "apply_circular",
    "apply_token_merging",
    "give_memory_back",
    "interrogate",
    "is_xl",
    "latent_channels",
    "loaded_model",
    "make_room",
    "prompt_length",
    "upscaler_device",
    "vae_network",
]


def upscaler_device() -> torch.device:
    """Where the host runs its own upscalers: `--use-cpu` and `--device-id` are in it."""
    from modules import devices

    with contextlib.suppress(Exception):
        return torch.device(devices.get_device_for("esrgan"))
    return torch.device(getattr(devices, "device_esrgan", None) or "cpu")


def make_room() -> None:
    """Move the Stable Diffusion model out of the way, as far as the host does that itself before an upscaler."""
    from modules import devices

    management = environment.memory_management()
    try:
        if management is not None:  # the Forge family brings its models back when it needs them
            needed = management.minimum_inference_memory()
            management.free_memory(needed, management.get_torch_device())
            return
        flags = environment.command_line_options()
        if flags.get("lowvram") or flags.get("medvram") or flags.get("medvram_sdxl"):
            importlib.import_module("modules.lowvram").send_everything_to_cpu()
            devices.torch_gc()
    except Exception:  # less memory is no reason to fail: tiles get smaller
        report("the memory of other models could not be freed")


def give_memory_back() -> None:
    """Give what torch keeps for later back to the device."""
    with contextlib.suppress(Exception):
        from modules import devices

        devices.torch_gc()


def loaded_model() -> HostModel:
    """The Stable Diffusion model; it is loaded if none is."""
    from modules import shared

    return cast(HostModel, shared.sd_model)


def is_xl(model: object) -> bool:
    """Whether the model is SDXL's kind, which is conditioned on the size and place of a crop."""
    return bool(getattr(model, "is_sdxl", False))


def latent_channels() -> int:
    """Channels of the loaded model's latents."""
    model = loaded_model()
    vae = getattr(environment.forge_objects(model), "vae", None)
    return int(getattr(model, "latent_channels", 0) or getattr(vae, "latent_channels", 4))


def vae_network() -> HostVae:
    """The VAE of the loaded model: what has `encoder` and `decoder`."""
    model = loaded_model()
    network: HostVae | None = getattr(model, "first_stage_model", None)
    objects = environment.forge_objects(model)
    if objects is not None and (network is None or not hasattr(network, "encoder")):
        return objects.vae.first_stage_model
    assert network is not None
    return network


def prompt_length(prompt: str) -> int:
    """Tokens to which the loaded model pads a prompt: 75, 150, ..."""
    count = getattr(loaded_model(), "get_prompt_lengths_on_ui", None)
    if count is None:
        from modules.sd_hijack import model_hijack

        count = model_hijack.get_prompt_lengths
    return int(count(prompt)[1])


def interrogate(image: Image.Image, *, tags: bool) -> str:
    """What the host's CLIP interrogator, or DeepBooru for `tags`, says of an image. Raises what they raise.

    Returns:
        The text; it may end with "<error>".
    """
    if tags:
        return str(importlib.import_module("modules.deepbooru").model.tag(image))
    from modules import shared

    return str(shared.interrogator.interrogate(image))


def apply_token_merging(p: HostProcessing) -> None:
    """Merge tokens as the first pass of `p` has it; the Forge family does so by itself."""
    from modules import sd_models

    apply = getattr(sd_models, "apply_token_merging", None)
    if apply is not None and environment.forge_objects(p.sd_model) is None:
        apply(p.sd_model, p.get_token_merging_ratio())


def apply_circular(tiling: bool) -> None:
    """Have the model's convolutions wrap around the edges, for seamless textures, or not."""
    from modules import sd_hijack

    apply = getattr(getattr(sd_hijack, "model_hijack", None), "apply_circular", None)
    if apply is not None:
        apply(tiling)
