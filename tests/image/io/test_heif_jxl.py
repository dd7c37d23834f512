"""HEIC and JPEG XL, where the packages for them are installed: the same pixels, upright, with their metadata."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
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


def deep(channels: int) -> NDArray[np.uint16]:
    """Slopes of 16 bits from nothing to everything."""
    y, x = np.mgrid[:48, :64]
    slopes = [x / 63, y / 47, (x + y) / 110, 1 - x / 63]
    return np.rint(np.stack(slopes[:channels], axis=2) * 65535).astype(np.uint16)


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

    def test_several_images_are_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        several = import_module("pillow_heif").from_pillow(gradient())
        several.add_from_pillow(gradient().rotate(180))
        several.save(tmp_path / "a.heic")
        assert read_frames(tmp_path / "a.heic") is None
        assert read_picture(tmp_path / "a.heic").size == Size(64, 48)
        assert [record.getMessage() for record in caplog.records] == [
            "a.heic: holds 2 images, of which the first is read"
        ]

    @pytest.mark.parametrize(("mode", "channels"), [("RGB;16", 3), ("RGBA;16", 4)])
    def test_more_bits_are_kept(
        self, tmp_path: Path, mode: str, channels: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """pillow-heif writes 10 bits of them, without loss but for the way to YCbCr."""
        levels = deep(channels)
        image = import_module("pillow_heif").from_bytes(mode, (64, 48), levels.tobytes())
        image.save(tmp_path / "a.heic", quality=-1, chroma=444, exif=exif(), icc_profile=PROFILE)
        found = read_picture(tmp_path / "a.heic")
        upright = np.rot90(levels, -1).astype(int)
        assert found.bits == 16
        assert read_size(tmp_path / "a.heic") == found.size == Size(48, 64)
        assert np.abs(found.pixels.astype(int) - upright[..., :3]).max() <= 3 * 65535 / 1023
        assert (found.alpha is None) == (channels == 3)
        if found.alpha is not None:
            assert np.abs(found.alpha.astype(int) - upright[..., 3]).max() <= 3 * 65535 / 1023
            assert found.alpha.max() == 65535
        assert maker(found.metadata.exif) == ("Maker", 1)
        assert found.metadata.icc == PROFILE
        assert caplog.records == []

    def test_bits_that_can_not_be_read_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        pillow_heif = import_module("pillow_heif")
        pillow_heif.from_bytes("RGB;16", (64, 48), deep(3).tobytes()).save(tmp_path / "a.heic")

        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("Unsupported feature")

        monkeypatch.setattr(pillow_heif, "open_heif", refuse)
        assert read_picture(tmp_path / "a.heic").bits == 8
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith("a.heic: has 1")
        assert said.endswith(" bits a channel, of which 8 are read")


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
