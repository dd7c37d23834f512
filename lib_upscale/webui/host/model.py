"""The loaded Stable Diffusion model, its VAE and text encoder, and the memory that models take."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import cast

import torch
from PIL import Image

from lib_upscale.image.geometry import Size
from lib_upscale.models.model_files import file_fingerprint
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.console import report
from lib_upscale.webui.host.patching import option_set, replaced
from lib_upscale.webui.host.protocols import HostModel, HostProcessing, HostTxt2Img, HostUnetPatcher, HostVae

__all__ = [
    "apply_token_merging",
    "give_memory_back",
    "has_interrogator",
    "interrogate",
    "is_xl",
    "kept_noise_schedule",
    "latent_shape",
    "loaded_checkpoint",
    "loaded_model",
    "make_room",
    "prompt_length",
    "second_model_is_chosen",
    "sees_masked_image",
    "uncircular",
    "unet_reserves",
    "upscaler_device",
    "vae_network",
    "vae_reserves",
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


@contextmanager
def second_model_is_chosen(p: HostTxt2Img) -> Iterator[None]:
    """Generations find the model of hires fix's second pass chosen while this lasts, and so don't load another one.

    The host has loaded that model and has then put its first choice back, which every generation asks for.

    Args:
        p: The host's parameters, whose second pass is about to begin.
    """
    from modules import processing, sd_models

    data = getattr(sd_models, "model_data", None)
    first = getattr(data, "forge_loading_parameters", None)
    with ExitStack() as stack:
        if first is not None:
            stack.enter_context(replaced(data, "forge_loading_parameters", _second_parameters(p, first)))
            # Set where the first choice was put back: for the next generation, and not for a tile.
            stack.enter_context(replaced(processing, "need_global_unload", False))
        elif p.hr_checkpoint_info is not None:
            stack.enter_context(option_set("sd_model_checkpoint", p.hr_checkpoint_info.title))
        yield


def _second_parameters(p: HostTxt2Img, first: dict[str, object]) -> dict[str, object]:
    """From what Forge and Forge Neo have loaded the model of the second pass; `first` is that of the first."""
    main_entry = importlib.import_module("modules_forge.main_entry")
    second = dict(first)
    if p.hr_checkpoint_info is not None:
        second["checkpoint_info"] = p.hr_checkpoint_info
    modules = p.hr_additional_modules
    if modules is not None and "Use same choices" not in modules:
        paths = [main_entry.module_list.get(PurePath(name).name) for name in modules]
        found = [path for path in paths if path is not None]
        if sorted(found) != sorted(cast("list[str]", first.get("additional_modules") or [])):
            second["additional_modules"] = found
    return second


@contextmanager
def kept_noise_schedule() -> Iterator[None]:
    """A generation within another leaves the noise levels to which reForge goes back at the end of the outer one."""
    model = loaded_model()
    with ExitStack() as stack:
        for name in ("sigmas_original", "alphas_cumprod_original"):
            if hasattr(model, name):
                stack.enter_context(replaced(model, name, getattr(model, name)))
        yield


@contextmanager
def unet_reserves(unet: HostUnetPatcher, tile: Size, at_once: int) -> Iterator[None]:
    """The Forge family keeps memory free for tiles, not for a whole latent, while this lasts.

    It asks before sampling how much of the model has to leave the graphics card, and at every step whether prompt and
    negative prompt fit into one batch.

    Args:
        unet: What is sampled with.
        tile: In pixels of the latent.
        at_once: Tiles in a batch.
    """
    model = unet.model
    original = model.memory_required

    def memory_required(input_shape: Sequence[int], *arguments: object, **named: object) -> float:
        *first, height, width = input_shape
        if height > tile.height or width > tile.width:
            first[0] *= at_once
        shape = [*first, min(height, tile.height), min(width, tile.width)]
        return original(shape, *arguments, **named)

    with replaced(model, "memory_required", memory_required):
        yield


@contextmanager
def vae_reserves(side: int) -> Iterator[None]:
    """The Forge family keeps memory free for an image of `side` pixels a side, while its VAE is run by tiles."""
    objects = environment.forge_objects(loaded_model())
    with ExitStack() as stack:
        for name, most in (("memory_used_encode", side), ("memory_used_decode", side // LATENT)):
            if objects is not None and hasattr(objects.vae, name):
                stack.enter_context(replaced(objects.vae, name, _of_smaller(getattr(objects.vae, name), most)))
        yield


def _of_smaller(memory_used: Callable[..., float], most: int) -> Callable[..., float]:
    def memory_used_by_tiles(shape: Sequence[int], *arguments: object, **named: object) -> float:
        *first, height, width = shape
        return memory_used([*first, min(height, most), min(width, most)], *arguments, **named)

    return memory_used_by_tiles


def loaded_checkpoint() -> list[object]:
    """What tells the loaded model's file from others where the host was told not to hash it: plain JSON values."""
    path = Path(loaded_model().sd_checkpoint_info.filename)
    return [path.name, *(file_fingerprint(path) or ())]


def is_xl(model: object) -> bool:
    """Whether the model is SDXL's kind, which is conditioned on the size and place of a crop."""
    return bool(getattr(model, "is_sdxl", False))


def sees_masked_image(model: object) -> bool:
    """Whether the model is one for inpainting, for which the host encodes the masked image, too."""
    key = getattr(getattr(model, "model", None), "conditioning_key", None)
    flags = (getattr(model, name, False) for name in ("is_inpaint", "is_sdxl_inpaint"))
    return key in ("hybrid", "concat") or any(flags)


def latent_shape(size: Size) -> tuple[int, ...]:
    """The shape of the loaded model's latent of one image of `size` pixels.

    Returns:
        (channels, height, width), and (channels, 1, height, width) for models that are made for video.
    """
    model = loaded_model()
    vae = getattr(environment.forge_objects(model), "vae", None)
    channels = int(getattr(model, "latent_channels", 0) or getattr(vae, "latent_channels", 4))
    frames = (1,) if getattr(model, "is_wan", False) else ()  # what Neo calls them all
    return (channels, *frames, size.height // LATENT, size.width // LATENT)


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


def has_interrogator(*, tags: bool) -> bool:
    """Whether the host can say what an image shows, in a sentence or in `tags`: not all of the Forge family can."""
    if tags:
        return find_spec("modules.deepbooru") is not None
    from modules import shared

    return getattr(shared, "interrogator", None) is not None


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


@contextmanager
def uncircular(p: HostTxt2Img) -> Iterator[None]:
    """Nothing wraps around the edges in the second pass of hires fix: each tile would at its own.

    The first pass of the next batch does again, where the person wants seamless textures.
    """
    if not p.tiling:
        yield
        return
    p.comment("Tiling is off in the second pass.")
    _apply_circular(False)
    try:
        yield
    finally:
        _apply_circular(True)


def _apply_circular(tiling: bool) -> None:
    """Have the model's convolutions wrap around the edges, for seamless textures, or not."""
    from modules import processing, sd_hijack

    apply_forge = getattr(processing, "apply_circular_forge", None)
    apply = getattr(getattr(sd_hijack, "model_hijack", None), "apply_circular", None)
    if apply_forge is not None:
        apply_forge(loaded_model(), tiling)
    elif apply is not None:
        apply(tiling)
