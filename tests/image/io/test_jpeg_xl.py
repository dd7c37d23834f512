"""What the plugin for JPEG XL leaves in the file is kept, or named: EXIF, XMP, 16 bits, further frames."""

from __future__ import annotations

import io
import random
import struct
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_upscale.image.io import jpeg_xl, read_frames, read_picture, read_size
from lib_upscale.image.io.jpeg_xl import JpegXlHeader, jpeg_xl_header, jpeg_xl_metadata

FILES = Path(__file__).parent / "files"
"""Written by libjxl, by way of the package imagecodecs."""
HEADERS = {
    "rgb-16-bit.jxl": JpegXlHeader(16),
    "rgb-10-bit.jxl": JpegXlHeader(10),
    "frames.jxl": JpegXlHeader(8, animated=True),
}


@pytest.mark.parametrize(("name", "header"), HEADERS.items())
def test_the_header_of_a_codestream(name: str, header: JpegXlHeader) -> None:
    with (FILES / name).open("rb") as stream:
        assert jpeg_xl_header(stream) == header


@given(st.sampled_from(sorted(HEADERS)), st.integers(0, 2**32), st.integers(1, 12))
def test_damage_is_no_error(name: str, seed: int, count: int) -> None:
    dice, content = random.Random(seed), bytearray((FILES / name).read_bytes())
    for _ in range(count):
        content[dice.randrange(80)] = dice.choice((0, 1, 255, dice.randrange(256)))
    stream = io.BytesIO(content[: dice.randrange(len(content))])
    assert 0 < jpeg_xl_header(stream).bits <= 64
    assert jpeg_xl_metadata(stream).unread == []


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + b"a" * 500 + b"</x:xmpmeta>"


def exif() -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    return block.tobytes()


plugin = pytest.mark.skipif(
    not find_spec("pillow_jxl"), reason="pillow-jxl-plugin is not installed (pip install '.[jxl]')"
)


@plugin
class TestPixels:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("rgb-16-bit.jxl", "has 16 bits a channel, of which 8 are read"),
            ("rgb-10-bit.jxl", "has 10 bits a channel, of which 8 are read"),
            ("frames.jxl", "is an animation, of which one frame is read"),
        ],
    )
    def test_what_is_not_read_is_named(self, name: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
        assert read_picture(FILES / name).bits == 8
        assert read_frames(FILES / name) is None
        assert [record.getMessage() for record in caplog.records] == [f"{name}: {said}"]

    def test_gray_keeps_sixteen_bits(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        import_module("pillow_jxl")
        levels = np.arange(200, dtype=np.uint16).reshape(10, 20) * 300
        Image.fromarray(levels).save(tmp_path / "a.jxl", lossless=True)
        assert np.array_equal(read_picture(tmp_path / "a.jxl").pixels[..., 0], levels)
        assert caplog.records == []


@plugin
class TestMetadataOfJpegXl:
    @pytest.fixture(params=[False, True], ids=["plain", "packed"])
    def path(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        if request.param and not find_spec("brotli"):
            pytest.skip("brotli is not installed (pip install '.[jxl]')")
        return self.written(tmp_path / "a.jxl", request.param)

    def written(self, path: Path, packed: bool) -> Path:
        import_module("pillow_jxl")
        Image.new("RGB", (20, 10)).save(path, exif=exif(), xmp=XMP, compress_metadata=packed)
        return path

    def test_is_kept(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        metadata = read_picture(path).metadata
        assert metadata.xmp == XMP
        assert metadata.exif == exif().removeprefix(b"Exif\0\0")
        assert dict(metadata.text) == {}
        assert caplog.records == []

    def test_the_orientation_in_it_is_ignored(self, tmp_path: Path) -> None:
        """How the image lies stands in the codestream (ISO/IEC 18181-2, 9.4)."""
        import_module("pillow_jxl")
        xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        Image.new("RGB", (20, 10)).save(tmp_path / "a.jxl", xmp=xmp)
        found = read_picture(tmp_path / "a.jxl")
        assert tuple(found.size) == tuple(read_size(tmp_path / "a.jxl")) == (20, 10)
        assert found.metadata.xmp == xmp.replace(b'"6"', b'"1"')

    def test_what_can_not_be_unpacked_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = self.written(tmp_path / "a.jxl", packed=True)
        monkeypatch.setattr(jpeg_xl, "find_spec", lambda name: None)
        assert read_picture(path).metadata.xmp is None
        assert [record.getMessage() for record in caplog.records] == [
            "a.jxl: read without its EXIF and XMP, which can't be unpacked (pip install brotli)"
        ]


@pytest.mark.skipif(not find_spec("brotli"), reason="brotli is not installed (pip install '.[jxl]')")
class TestPacked:
    def box(self, packed: bytes) -> bytes:
        return struct.pack(">I4s4s", 12 + len(packed), b"brob", b"xml ") + packed

    def test_a_small_box_takes_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jpeg_xl, "LARGEST", 10_000)
        brotli = import_module("brotli")
        for size, fits in ((10_000, True), (10_000_000, False)):
            found = jpeg_xl_metadata(io.BytesIO(self.box(brotli.compress(bytes(size)))))
            assert (found.xmp == bytes(size), found.unread == []) == (fits, fits)

    def test_damage_is_named(self) -> None:
        packed = import_module("brotli").compress(XMP)
        for damaged in (packed[:-3], b"\xff" + packed):
            found = jpeg_xl_metadata(io.BytesIO(self.box(damaged)))
            assert (found.xmp, found.unread) == (None, ["XMP"])
