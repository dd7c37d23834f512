"""Infotext that the Forge family hides in pixels: an image without any is not searched pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_upscale.webui.host.images import without_hidden_text

EXIF = b"Exif\x00\x00not read here"


def hidden(signature: str, width: int, height: int) -> Image.Image:
    """An image whose lowest bits begin with a text, column by column, as the host writes them."""
    bits = np.unpackbits(np.frombuffer(signature.encode(), np.uint8))
    pixels = np.full((width * height, 3), 200, np.uint8)
    flat = pixels.reshape(-1)
    flat[: len(bits)] |= bits
    return Image.fromarray(np.ascontiguousarray(pixels.reshape(width, height, 3).swapaxes(0, 1)))


@pytest.mark.parametrize("size", [(200, 150), (60, 7), (40, 1)])
@pytest.mark.parametrize("signature", ["stealth_rgbinfo", "stealth_rgbcomp"])
def test_what_hides_a_text_is_searched(signature: str, size: tuple[int, int]) -> None:
    image = hidden(signature, *size)
    assert without_hidden_text(image) is image


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16"])
def test_what_hides_none_keeps_its_texts_alone(mode: str) -> None:
    image = Image.new(mode, (3000, 2000))
    image.info.update(parameters="a photo", exif=EXIF)
    asked = without_hidden_text(image)
    assert (asked.size, asked.mode) == ((1, 1), "RGB")
    assert asked.info == image.info


@pytest.mark.parametrize(("mode", "info"), [("RGBA", {}), ("RGB", {"Software": "NovelAI"})])
def test_what_the_host_needs_whole_it_gets_whole(mode: str, info: dict[str, Any]) -> None:
    image = Image.new(mode, (50, 40))
    image.info.update(info)
    assert without_hidden_text(image) is image


def test_an_image_smaller_than_the_signature_hides_none() -> None:
    assert without_hidden_text(Image.new("RGB", (2, 3), (201, 200, 200))).size == (1, 1)
