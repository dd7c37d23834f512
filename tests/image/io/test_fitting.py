"""Metadata goes into every format that can hold it; what it can't hold takes another form, or is named once."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

from lib_upscale.image.io import Format, Frame, read_frames, read_picture, write_animation, write_pages, write_picture
from lib_upscale.image.metadata import COMMENT, PARAMETERS, Metadata
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMATS = [format for format in Format if format is not Format.AVIF or features.check("avif")]
LOST = {
    Format.PNG: "",
    Format.JPEG: "texts Title, Comment2, which JPEG",
    Format.TIFF: "texts Title, Comment, Comment2, which TIFF",
    Format.WEBP: "texts Title, Comment, Comment2 and print resolution, which WEBP",
    Format.AVIF: "texts Title, Comment, Comment2 and print resolution, which AVIF",
    Format.GIF: "texts parameters, Title, Comment2, EXIF, XMP and print resolution, which GIF",
    Format.BMP: "texts parameters, Title, Comment, Comment2, EXIF and XMP, which BMP",
}
RED = np.full((8, 9, 3), (200, 100, 50), np.uint8)


def everything() -> Metadata:
    exif = Image.Exif()
    exif[0x010F], exif[18246], exif[40091] = "Maker", 4, "Titel".encode("utf-16-le")
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    return Metadata(
        icc=SRGB,
        exif=exif.tobytes()[6:],
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xe7\x8a\xac</x:xmpmeta>',
        text={PARAMETERS: "a dog\nSteps: 20, 犬", "Title": "犬", COMMENT: "made by hand é", "Comment2": ""},
        dpi=(300.0, 300.0),
    )


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_lost_is_named_once_and_the_rest_is_kept(
    format: Format, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{format.value}"
    write_picture(Picture(RED, None, everything()), path)
    expected = [f"{path.name}: written without its {LOST[format]} can't hold"] if LOST[format] else []
    assert notes(caplog) == expected
    found = read_picture(path).metadata
    assert (found.icc == SRGB) == (format not in (Format.GIF, Format.BMP))
    for part, lost in (("exif", "EXIF"), ("xmp", "XMP"), ("dpi", "print resolution")):
        assert (getattr(found, part) is None) == (lost in LOST[format]), part
    assert (found.text.get(COMMENT) == "made by hand é") == (format in (Format.PNG, Format.JPEG, Format.GIF))
    assert (PARAMETERS in found.text) == ("parameters" not in LOST[format])
    if found.exif:
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + found.exif)
        assert (exif[0x010F], exif[18246], exif[40091]) == ("Maker", 4, "Titel".encode("utf-16-le"))
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_said_of_an_image_without_metadata(
    format: Format, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(Picture(noise((8, 9, 3), 16, 1), None, Metadata(dpi=(72, 96))), tmp_path / f"a.{format.value}")
    assert notes(caplog) == []


class TestXmpInJpeg:
    @pytest.mark.parametrize(("characters", "padding"), [(65000, 0), (40000, 40000)])
    def test_what_fits_is_written(
        self, characters: int, padding: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        end = b'<?xpacket end="w"?>'
        packet = b"<x:xmpmeta>" + b"x" * characters + b"</x:xmpmeta>"
        write_picture(Picture(RED, None, Metadata(xmp=packet + b" " * padding + end)), tmp_path / "a.jpg")
        found = read_picture(tmp_path / "a.jpg").metadata.xmp or b""
        assert found.startswith(packet)
        assert found.endswith(end)
        assert notes(caplog) == []

    def test_what_does_not_fit_is_named_and_all_else_is_kept(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_picture(Picture(RED, None, replace(everything(), xmp=b"x" * 70000, text={})), tmp_path / "a.jpg")
        found = read_picture(tmp_path / "a.jpg").metadata
        assert found.xmp is None
        assert found.exif
        assert found.icc
        assert notes(caplog) == ["a.jpg: written without its XMP of 70000 bytes, which JPEG can't hold"]


def colors_of(path: Path) -> np.ndarray:
    """The first pixel as sRGB, by LittleCMS."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        profile = image.info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB"))
        assert converted is not None
        rgb = converted
    return np.array(rgb)[0, 0].astype(int)


class TestColorChunks:
    LINEAR = struct.pack(">I", 100000)

    @pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".gif", ".bmp"])
    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            # half of the light is 188 of 255 in sRGB: IEC 61966-2-1
            ({"gAMA": struct.pack(">I", 100000)}, (206, 168, 137)),
            # the matrix from Display P3 to sRGB as in CSS Color 4, section 18
            ({"cICP": bytes([12, 13, 0, 1])}, (215, 93, 31)),
            ({"gAMA": struct.pack(">I", 45455)}, (200, 100, 50)),
            ({"sRGB": b"\0", "gAMA": struct.pack(">I", 100000)}, (200, 100, 50)),
        ],
    )
    def test_they_become_a_profile_or_srgb(
        self,
        chunks: dict[str, bytes],
        expected: tuple[int, int, int],
        suffix: str,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        pixels = np.full((8, 9, 3), (200, 100, 50), np.uint8)
        if "gAMA" in chunks and "sRGB" not in chunks and chunks["gAMA"] == self.LINEAR:
            pixels[:] = (158, 100, 64)
        write_picture(Picture(pixels, None, Metadata(png_color=chunks)), tmp_path / f"a{suffix}")
        assert np.abs(colors_of(tmp_path / f"a{suffix}") - expected).max() <= 2
        assert notes(caplog) == []

    def test_gray(self, tmp_path: Path) -> None:
        picture = Picture(np.full((8, 9, 1), 128, np.uint8), None, Metadata(png_color={"gAMA": self.LINEAR}))
        for suffix in (".gif", ".webp", ".bmp"):
            write_picture(picture, tmp_path / f"a{suffix}", lossless=suffix == ".webp")
            assert (read_picture(tmp_path / f"a{suffix}").pixels == 188).all()
        write_picture(picture, tmp_path / "a.jpg")
        found = read_picture(tmp_path / "a.jpg")
        assert found.metadata.icc_for(1)
        assert (found.pixels == 128).all()

    @pytest.mark.parametrize("transfer", [16, 18])
    def test_hdr_is_named(self, transfer: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        chunks = {"cICP": bytes([9, transfer, 0, 1]), "mDCV": bytes(24)}
        write_picture(Picture(RED, None, Metadata(png_color=chunks)), tmp_path / "a.jpg")
        assert notes(caplog) == ["a.jpg: written without its HDR colors, which JPEG can't hold"]


def test_a_profile_is_applied_where_it_can_not_be_written(tmp_path: Path) -> None:
    write_picture(
        Picture(np.full((8, 9, 3), 128, np.uint8), None, Metadata(png_color={"gAMA": TestColorChunks.LINEAR})),
        tmp_path / "a.jpg",
    )
    linear = read_picture(tmp_path / "a.jpg")
    for suffix in (".gif", ".bmp"):
        write_picture(linear, tmp_path / f"a{suffix}")
        assert np.abs(read_picture(tmp_path / f"a{suffix}").pixels.astype(int) - 188).max() <= 1


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_name_it_once(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Frame(Picture(noise((8, 9, 3), 8, seed), None, everything()), 50) for seed in range(3)]
    write_animation(frames, tmp_path / f"a{suffix}")
    format = {".gif": Format.GIF, ".webp": Format.WEBP, ".png": Format.PNG}[suffix]
    assert notes(caplog) == ([f"a{suffix}: written without its {LOST[format]} can't hold"] if LOST[format] else [])
    found = read_frames(tmp_path / f"a{suffix}")
    assert found is not None
    assert found.count == 3
    if suffix == ".webp":
        metadata = next(found.frames()).picture.metadata
        assert metadata.xmp == everything().xmp
        assert metadata.icc == SRGB


def test_pages_name_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = Picture(RED, None, everything())
    pages = [picture, picture.with_metadata(Metadata())]
    write_pages(pages, tmp_path / "a.tif", [picture.size] * 2)
    assert notes(caplog) == [f"a.tif: written without its {LOST[Format.TIFF]} can't hold"]


def test_further_images_of_a_file_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """MPO: both eyes' views, or brightness for HDR."""
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert read_frames(tmp_path / "a.jpg") is None
    assert read_picture(tmp_path / "a.jpg").pixels[0, 0].tolist() == [254, 0, 0]
    assert notes(caplog) == ["a.jpg: holds 2 images, of which the first is read"]


def directory(at: int, *entries: tuple[int, int, bytes]) -> bytes:
    """A directory of TIFF at an offset: tag, type and value of each entry, of one number or a text."""
    data, table = b"", b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) if kind == 2 else 1
        place = struct.pack("<I", start + len(data)) if len(value) > 4 else value.ljust(4, b"\0")
        data += value if len(value) > 4 else b""
        table += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(entries)) + table + bytes(4) + data


@pytest.mark.parametrize("suffix", [f".{format.value}" for format in FORMATS if format not in (Format.GIF, Format.BMP)])
@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ((18246, 4, struct.pack("<I", 70000)), (0x9004, 2, b"2021\0")),  # a rating of 70000
        ((18246, 8, struct.pack("<h", -1)), (0x829A, 2, b"1/60 s\0")),  # an exposure time as a text
        ((0x0132, 12, struct.pack("<d", 20.5)), (0x9004, 12, struct.pack("<d", 20.5))),  # dates as numbers
        ((0x011A, 2, b"300 dpi\0"), (0x8827, 10, struct.pack("<ii", -1, 0))),  # a resolution as a text, ISO -1/0
        ((0x0132, 2, b"2020\0"), (0x829A, 5, struct.pack("<II", 4177461503, 0))),  # divided by 0 (Pillow 9.5)
    ],
)
def test_unusual_exif_values_cost_nothing_else(
    outer: tuple[int, int, bytes],
    inner: tuple[int, int, bytes],
    suffix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A finished image must be written, whatever programs have put into its EXIF."""
    first = sorted([(0x010F, 2, b"Maker\0"), (0x0112, 3, b"\1\0"), outer])
    below = 8 + len(directory(8, *first, (0x8769, 4, bytes(4))))
    whole = directory(8, *first, (0x8769, 4, struct.pack("<I", below)))
    whole += directory(below, *sorted([(0x9003, 2, b"2020:01:02 03:04:05\0"), inner]))
    exif = b"II*\0" + struct.pack("<I", 8) + whole
    for texts in ({}, {PARAMETERS: "a dog\nSteps: 20"}):  # which go into the EXIF
        write_picture(Picture(RED, None, Metadata(exif=exif, text=texts)), tmp_path / f"a{suffix}")
        found, block = read_picture(tmp_path / f"a{suffix}"), Image.Exif()
        block.load(b"Exif\0\0" + (found.metadata.exif or b""))
        assert (block[0x010F], block.get_ifd(0x8769)[0x9003]) == ("Maker", "2020:01:02 03:04:05")
        assert found.metadata.text.get(PARAMETERS) == texts.get(PARAMETERS)
    assert [note for note in notes(caplog) if "unusual EXIF values" not in note] == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_exif_block_that_is_none_costs_nothing_else(format: Format, tmp_path: Path) -> None:
    write_picture(Picture(RED, None, Metadata(exif=b"no EXIF")), tmp_path / f"a.{format.value}")
    assert read_picture(tmp_path / f"a.{format.value}").pixels.shape == RED.shape


@pytest.mark.parametrize("per_inch", [float("inf"), float("nan"), 1e12])
def test_a_print_resolution_that_can_not_be_meant(per_inch: float, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RED, resolution=(300, 300), resolutionunit="inch", photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    for tag in (282, 283):  # of the type DOUBLE in place of RATIONAL: both have eight bytes
        at = content.index(struct.pack("<HHI", tag, 5, 1))
        place = struct.unpack_from("<I", content, at + 8)[0]
        content = content[:place] + struct.pack("<d", per_inch) + content[place + 8 :]
        content = content[: at + 2] + struct.pack("<H", 12) + content[at + 4 :]
    (tmp_path / "a.tif").write_bytes(content)
    found = read_picture(tmp_path / "a.tif")
    assert found.metadata.dpi is None
    for format in FORMATS:
        write_picture(found, tmp_path / f"b.{format.value}")
