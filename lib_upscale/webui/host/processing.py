"""The host's generations: running one, decoding its latents, its infotext and masks."""

from __future__ import annotations

import dataclasses
from types import ModuleType

from PIL import Image
from torch import Tensor

from lib_upscale.webui.host.protocols import HostImg2Img, HostModel, HostProcessed, HostProcessing

__all__ = [
    "as_decoded_samples",
    "binary_mask",
    "color_correction",
    "create_infotext",
    "decode_first_stage",
    "decode_latents",
    "encoding_module",
    "new_img2img",
    "process_images",
]


def process_images(p: HostProcessing) -> HostProcessed:
    """Run a generation."""
    from modules import processing

    processed: HostProcessed = processing.process_images(p)
    return processed


def encoding_module() -> ModuleType:
    """The host's module whose `images_tensor_to_samples` encodes what hires fix has enlarged: by the VAE, or TAESD."""
    from modules import processing

    module: ModuleType = processing
    return module


def new_img2img(p: HostProcessing) -> HostImg2Img:
    """The host's parameters of an img2img, with those of the generation `p` that it has too.

    The model is not copied: it is always the loaded one.
    """
    from modules.processing import StableDiffusionProcessingImg2Img

    names = [field.name for field in dataclasses.fields(StableDiffusionProcessingImg2Img) if field.init]
    shared = [name for name in names if hasattr(p, name) and name not in ("sd_model", "sampler_index")]
    img2img: HostImg2Img = StableDiffusionProcessingImg2Img(**{name: getattr(p, name) for name in shared})
    return img2img


def as_decoded_samples(images: list[Tensor]) -> list[Tensor]:
    """Images as the host takes finished ones from a sampler.

    Args:
        images: (3, height, width) each, -1 to 1.
    """
    from modules.processing import DecodedSamples

    samples: list[Tensor] = DecodedSamples(images)
    return samples


def decode_first_stage(model: HostModel, latents: Tensor) -> Tensor:
    """Decode a batch of latents: (images, 3, height, width), -1 to 1."""
    from modules import processing

    images: Tensor = processing.decode_first_stage(model, latents)
    return images


def decode_latents(model: HostModel, latents: Tensor) -> list[Tensor]:
    """Decode latents one by one, to the CPU, as the host takes finished images: (3, height, width) each, -1 to 1."""
    from modules import devices
    from modules.processing import decode_latent_batch

    images: list[Tensor] = decode_latent_batch(model, latents, target_device=devices.cpu, check_for_nans=True)
    return images


def create_infotext(p: HostProcessing, *arguments: object, **named: object) -> str:
    """The text that the host saves in an image of `p`; the arguments are those of the host's function."""
    from modules import processing

    return str(processing.create_infotext(p, *arguments, **named))


def binary_mask(image: Image.Image, *, round_values: bool) -> Image.Image:
    """The mask in an image, of one channel, as the host reads it: from alpha or brightness."""
    from modules.processing import create_binary_mask

    mask: Image.Image = create_binary_mask(image, round=round_values)
    return mask.convert("L")


def color_correction(image: Image.Image) -> object:
    """What the host needs to give a result the colors of `image`."""
    from modules.processing import setup_color_correction

    return setup_color_correction(image)
