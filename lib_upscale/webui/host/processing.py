"""The host's generations: running one, decoding its latents, its infotext and masks."""

from __future__ import annotations

import dataclasses
from typing import Any

from PIL import Image
from torch import Tensor

__all__ = [
    "as_decoded_samples",
    "binary_mask",
    "color_correction",
    "create_infotext",
    "decode_first_stage",
    "decode_latents",
    "new_img2img",
    "process_images",
]


def process_images(p: Any) -> Any:
    """Run a generation; the host's `Processed`."""
    from modules import processing

    return processing.process_images(p)


def new_img2img(p: Any) -> Any:
    """The host's parameters of an img2img, with those of the generation `p` that it has too.

    The model is not copied: it is always the loaded one.
    """
    from modules.processing import StableDiffusionProcessingImg2Img

    names = [field.name for field in dataclasses.fields(StableDiffusionProcessingImg2Img) if field.init]
    return StableDiffusionProcessingImg2Img(
        **{name: getattr(p, name) for name in names if hasattr(p, name) and name not in ("sd_model", "sampler_index")}
    )


def as_decoded_samples(images: list[Tensor]) -> Any:
    """Images as the host takes finished ones from a sampler.

    Args:
        images: (3, height, width) each, -1 to 1.
    """
    from modules.processing import DecodedSamples

    return DecodedSamples(images)


def decode_first_stage(model: Any, latents: Tensor) -> Tensor:
    """Decode a batch of latents: (images, 3, height, width), -1 to 1."""
    from modules import processing

    images: Tensor = processing.decode_first_stage(model, latents)
    return images


def decode_latents(model: Any, latents: Any) -> Any:
    """Decode latents one by one, to the CPU; the host's `DecodedSamples`."""
    from modules import devices
    from modules.processing import decode_latent_batch

    return decode_latent_batch(model, latents, target_device=devices.cpu, check_for_nans=True)


def create_infotext(p: Any, *arguments: Any, **named: Any) -> str:
    """The text that the host saves in an image of `p`; the arguments are those of the host's function."""
    from modules import processing

    return str(processing.create_infotext(p, *arguments, **named))


def binary_mask(image: Image.Image, *, round_values: bool) -> Image.Image:
    """The mask in an image, of one channel, as the host reads it: from alpha or brightness."""
    from modules.processing import create_binary_mask

    mask: Image.Image = create_binary_mask(image, round=round_values)
    return mask.convert("L")


def color_correction(image: Image.Image) -> Any:
    """What the host needs to give a result the colors of `image`."""
    from modules.processing import setup_color_correction

    return setup_color_correction(image)
