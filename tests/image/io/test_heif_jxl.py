"""HEIC and JPEG XL, where the packages for them are installed: the same pixels, upright, with their metadata."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from lib_upscale.image.geometry import Size
from lib_upscale.image.io import is_picture, read_frames, read_picture, read_size

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def gradient() -> Image.Image:
    gray = Image.linear_gradient("L").resize((64, 48))
    return Image.merge("RGB", (gray, gray.rotate(180), gray))


def exif() -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "Maker"
    return block.tobytes()


def maker(found: bytes | None) -> tuple[Any, Any]:
    block = Image.Exif()
    block.load(b"Exif\0\0" + (found or b""))
    return block.get(0x010F), block.get(0x0112, 1)


@pytest.mark.skipif(not find_spec("pillow_heif"), reason="pillow-heif is not installed (pip install '.[heif]')")
class TestHeif:
    @pytest.fixture(autouse=True)
    def _registered(self) -> None:
        import_module("pillow_heif").register_heif_opener()

    def test_an_image(self, tmp_path: Path) -> None:
        path = tmp_path / "a.heic"
        xmp = b"<x:xmpmeta>a</x:xmpmeta>"
        gradient().save(path, exif=exif(), icc_profile=PROFILE, xmp=xmp, quality=95)
        found = read_picture(path)
        upright = np.asarray(gradient().rotate(-90, expand=True)).astype(int)
        assert np.abs(found.pixels.astype(int) - upright).max() <= 8
        assert read_size(path) == found.size == Size(48, 64)
        assert maker(found.metadata.exif) == ("Maker", 1)
        assert (found.metadata.xmp, found.metadata.icc) == (xmp, PROFILE)
        assert dict(found.metadata.text) == {}
        assert is_picture(path)

    def test_several_images_and_more_bits_are_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pillow_heif = import_module("pillow_heif")
        several = pillow_heif.from_pillow(gradient())
        several.add_from_pillow(gradient().rotate(180))
        several.save(tmp_path / "a.heic")
        assert read_frames(tmp_path / "a.heic") is None
        assert read_picture(tmp_path / "a.heic").size == Size(64, 48)
        deep = np.arange(64 * 48 * 3, dtype=np.uint16) * 7
        pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes()).save(tmp_path / "b.heic")
        assert read_picture(tmp_path / "b.heic").bits == 8
        said = [record.getMessage() for record in caplog.records]
        assert said[0] == "a.heic: holds 2 images, of which the first is read"
        assert said[1].startswith("b.heic: has 1")
        assert said[1].endswith(" bits a channel, of which 8 are read")


@pytest.mark.skipif(not find_spec("pillow_jxl"), reason="pillow-jxl-plugin is not installed (pip install '.[jxl]')")
class TestJpegXl:
    def test_an_image(self, tmp_path: Path) -> None:
        """The orientation stands in the image, and the one in EXIF is to be ignored (ISO/IEC 18181-2, Exif box)."""
        import_module("pillow_jxl")
        path = tmp_path / "a.jxl"
        gradient().save(path, lossless=True, exif=exif())
        found = read_picture(path)
        assert np.array_equal(found.pixels, np.asarray(gradient()))
        assert read_size(path) == found.size == Size(64, 48)
        assert maker(found.metadata.exif) == ("Maker", 1)
        assert is_picture(path)
        assert read_frames(path) is None
