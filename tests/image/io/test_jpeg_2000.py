"""JPEG 2000: what Pillow decodes wrongly is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, features

from lib_upscale.errors import PictureError
from lib_upscale.image.io import read_picture, read_size

pytestmark = pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")


def test_colors_of_16_bits_are_refused() -> None:
    """The file holds black, gray and white; Pillow gives 0, 128 and 0, ffmpeg 1, 32757 and 65530 of 65535."""
    path = Path(__file__).parent / "files/rgb-16-bit.jp2"
    for read in (read_size, read_picture):
        with pytest.raises(PictureError, match="colors of 16 bits"):
            read(path)


def test_colors_of_8_bits_are_read(tmp_path: Path) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    image.save(tmp_path / "a.jp2", irreversible=False)
    assert read_picture(tmp_path / "a.jp2").pixels.tobytes() == image.tobytes()
