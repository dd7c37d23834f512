"""What the script knows of the image that its line describes, kept for every session of a page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lib_upscale.webui.sd_upscale import source


def test_of_an_image_8_bits_of_brightness_are_kept_and_of_a_large_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio keeps what a session knows for as long as it runs."""
    monkeypatch.setattr(source, "MOST_KEPT", 60 * 40)
    image = Image.effect_noise((60, 40), 50).convert("RGB")
    found = source.describe_image(image)
    assert found.size == (60, 40)
    assert found.gray is not None
    assert (found.gray.nbytes, found.gray.dtype) == (60 * 40, np.uint8)
    assert np.array_equal(found.gray, np.asarray(image)[:, :, 0])
    larger = source.describe_image(image.resize((61, 40)))
    assert (larger.size, larger.gray) == ((61, 40), None)
    assert source.describe_image(None).size is None
