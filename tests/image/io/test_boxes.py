"""What Pillow and its plugins leave in the boxes of AVIF and JPEG XL files is kept, or named."""

from __future__ import annotations

import io
import random
import struct
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from lib_upscale.image.io import boxes, read_frames, read_picture, read_size
from lib_upscale.image.io.boxes import avif_bits, jpeg_xl_metadata

FILES = Path(__file__).parent / "files"
"""The AVIF files are libavif's, by the package imagecodecs."""
DEEP = {"rgb-10-bit.avif": 10, "rgb-12-bit.avif": 12, "frames-10-bit.avif": 10}


@pytest.mark.parametrize(("name", "bits"), DEEP.items())
@pytest.mark.parametrize("left_out", [b"", b"pixi", b"av1C", b"ipma"])
def test_the_depth_of_an_avif_stands_in_several_places(name: str, bits: int, left_out: bytes) -> None:
    content = (FILES / name).read_bytes()
    assert avif_bits(io.BytesIO(content.replace(left_out, b"free") if left_out else content)) == bits


@given(st.sampled_from(sorted(DEEP)), st.integers(0, 2**32), st.integers(1, 12))
def test_damaged_boxes_are_no_error(name: str, seed: int, count: int) -> None:
    dice, content = random.Random(seed), bytearray((FILES / name).read_bytes()[:400])
    for _ in range(count):
        content[dice.randrange(len(content))] = dice.choice((0, 1, 255, dice.randrange(256)))
    assert avif_bits(io.BytesIO(content[: dice.randrange(len(content))])) >= 0
    jpeg_xl_metadata(io.BytesIO(content))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
class TestDepthOfAvif:
    @pytest.mark.parametrize(("name", "bits"), DEEP.items())
    def test_bits_that_are_not_read_are_named(self, name: str, bits: int, caplog: pytest.LogCaptureFixture) -> None:
        assert read_picture(FILES / name).bits == 8
        assert [record.getMessage() for record in caplog.records] == [
            f"{name}: has {bits} bits a channel, of which 8 are read"
        ]

    def test_of_frames_too(self, caplog: pytest.LogCaptureFixture) -> None:
        animation = read_frames(FILES / "frames-10-bit.avif")
        assert animation is not None
        assert caplog.records == []
        assert len(list(animation.frames())) == 2
        assert [record.getMessage() for record in caplog.records] == [
            "frames-10-bit.avif: has 10 bits a channel, of which 8 are read"
        ]

    def test_eight_bits_are_nothing_to_say(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for mode in ("RGB", "RGBA", "L"):
            Image.new(mode, (20, 10)).save(tmp_path / "a.avif")
            read_picture(tmp_path / "a.avif")
        assert caplog.records == []


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + b"a" * 500 + b"</x:xmpmeta>"


def exif() -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    return block.tobytes()


@pytest.mark.skipif(not find_spec("pillow_jxl"), reason="pillow-jxl-plugin is not installed (pip install '.[jxl]')")
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
        monkeypatch.setattr(boxes, "find_spec", lambda name: None)
        assert read_picture(path).metadata.xmp is None
        assert [record.getMessage() for record in caplog.records] == [
            "a.jxl: read without its EXIF and XMP, which can't be unpacked (pip install brotli)"
        ]


@pytest.mark.skipif(not find_spec("brotli"), reason="brotli is not installed (pip install '.[jxl]')")
class TestPacked:
    def box(self, packed: bytes) -> bytes:
        return struct.pack(">I4s4s", 12 + len(packed), b"brob", b"xml ") + packed

    def test_a_small_box_takes_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(boxes, "_MOST", 10_000)
        brotli = import_module("brotli")
        for size, fits in ((10_000, True), (10_000_000, False)):
            found = jpeg_xl_metadata(io.BytesIO(self.box(brotli.compress(bytes(size)))))
            assert (found.xmp == bytes(size), found.unread == []) == (fits, fits)

    def test_damage_is_named(self) -> None:
        packed = import_module("brotli").compress(XMP)
        for damaged in (packed[:-3], b"\xff" + packed):
            found = jpeg_xl_metadata(io.BytesIO(self.box(damaged)))
            assert (found.xmp, found.unread) == (None, ["XMP"])
