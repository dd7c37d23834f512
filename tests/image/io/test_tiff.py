"""TIFF files as other programs write them."""

from __future__ import annotations

import io
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from PIL import Image

from lib_upscale.errors import PictureError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import read_pages, read_picture, write_pages, write_picture
from lib_upscale.image.io.tiff import writer as tiff_writer
from lib_upscale.image.io.tiff.writer import write_tiff
from lib_upscale.image.metadata import PARAMETERS, Metadata
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise, pictures, same_pixels


@given(pictures())
def test_tifffile_reads_the_same(picture):
    stream = io.BytesIO()
    write_tiff(stream, picture)
    stack = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    stream.seek(0)
    assert (tifffile.imread(stream).reshape(stack.shape) == stack).all()


def test_many_strips(tmp_path):
    for bits in (8, 16):
        picture = Picture(noise((900, 1100, 3), bits, 1))
        write_picture(picture, tmp_path / "a.tif")
        with Image.open(tmp_path / "a.tif") as image:
            assert len(image.tag_v2[273]) > 2
        assert same_pixels(read_picture(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_sixteen_bits_in_every_layout(channels, order, planes, tmp_path):
    values = noise((7, 9, channels), 16, channels)
    planar = channels > 1 and planes == "separate"
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(values, -1, 0) if planar else values if channels > 1 else values[..., 0],
        byteorder=order,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=(planes if channels > 1 else None),
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        metadata=None,
    )
    found = read_picture(tmp_path / "a.tif")
    stack = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    assert (stack == values).all()


def test_premultiplied_alpha_is_undone(tmp_path):
    values = np.array([[[10000, 20000, 30000, 32768], [5, 5, 5, 0], [1, 2, 3, 65535]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    found = read_picture(tmp_path / "a.tif")
    assert found.alpha.tolist() == [[32768, 0, 65535]]
    assert found.pixels[0, 0].tolist() == [20000, 39999, 59999]
    assert found.pixels[0, 2].tolist() == [1, 2, 3]


def test_white_is_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 65535]], np.uint16), photometric="miniswhite", metadata=None)
    assert read_picture(tmp_path / "a.tif").pixels.ravel().tolist() == [65535, 0]


def test_floats_and_long_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 0.5, 1.0]], np.float32), photometric="minisblack", metadata=None)
    assert read_picture(tmp_path / "a.tif").pixels.ravel().tolist() == [0, 32768, 65535]
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 2**32 - 1]], np.uint32), photometric="minisblack", metadata=None)
    assert read_picture(tmp_path / "b.tif").pixels.ravel().tolist() == [0, 65535]


def test_big_tiff(tmp_path):
    values = noise((6, 5, 3), 16, 1)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", bigtiff=True, metadata=None)
    assert (read_picture(tmp_path / "a.tif").pixels == values).all()


def lzw(data):
    """TIFF's LZW in the plainest form: every byte as itself in 9 bits, the table cleared before the codes grow."""
    codes = [256]
    for start in range(0, len(data), 250):
        codes += [*data[start : start + 250], 256]
    bits = "".join(f"{code:09b}" for code in [*codes[:-1], 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def write_lzw(path, values):
    """A TIFF with 16 bits a channel whose compression tifffile can't unpack without a further package."""
    tifffile.imwrite(
        path,
        iter([lzw(values.astype("<u2").tobytes())]),
        shape=values.shape if values.shape[2] > 1 else values.shape[:2],
        dtype=np.uint16,
        byteorder="<",
        photometric="rgb" if values.shape[2] > 2 else "minisblack",
        planarconfig="contig" if values.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if values.shape[2] in (2, 4) else None,
        compression="zlib",
        rowsperstrip=len(values),
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[259].overwrite(5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_in_lzw(channels, tmp_path):
    """Pillow unpacks what tifffile can't without a further package."""
    values = noise((9, 8, channels), 16, channels)
    write_lzw(tmp_path / "a.tif", values)
    found = read_picture(tmp_path / "a.tif")
    stack = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    assert (stack == values).all()


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is there")
def test_what_needs_imagecodecs_says_so(tmp_path):
    write_lzw(tmp_path / "a.tif", noise((9, 8, 2), 16, 1))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags[259].overwrite(34887)  # LERC
    with pytest.raises(PictureError, match=r"needs a package: pip install imagecodecs"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [8, 16])
def test_over_4_gb_it_is_a_big_tiff(bits, tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_writer, "_CLASSIC_LIMIT", 0)
    metadata = Metadata(xmp=b"<x:xmpmeta/>", dpi=(72.0, 300.0)).with_text(PARAMETERS, "a cat\nSteps: 20")
    picture = Picture(noise((40, 30, 3), bits, 1), noise((40, 30), bits, 2), metadata)
    write_picture(picture, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
    found = read_picture(tmp_path / "a.tif")
    assert found.metadata.xmp == metadata.xmp
    assert found.metadata.dpi == pytest.approx(metadata.dpi)
    assert same_pixels(found, picture)


def test_both_exif_directories_and_texts_survive(tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = b"caf\xe9", "Anna"  # description, artist
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x829D: 2.8}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5)}
    metadata = Metadata(exif=exif.tobytes()[6:])
    write_picture(Picture(noise((8, 9, 1), 8, 1), None, metadata), tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif").metadata
    block = Image.Exif()
    block.load(b"Exif\x00\x00" + found.exif)
    assert block[0x013B] == "Anna"
    assert block.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert float(block.get_ifd(0x8769)[0x829D]) == pytest.approx(2.8)
    assert block.get_ifd(0x8825)[1] == "N"
    assert [float(value) for value in block.get_ifd(0x8825)[2]] == [52.0, 31.0, 12.5]
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[0x010E] == "caf\xe9"
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert 34665 in file.pages[0].tags
        assert 34853 in file.pages[0].tags


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_eight_bits_from_pillow(mode, compression, tmp_path):
    image = Image.fromarray(noise((20, 30, 3), 8, 1)).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    assert same_pixels(read_picture(tmp_path / "a.tif"), Picture.from_pil(image))


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    write_picture(Picture(noise((9, 8, 3), 16, 1)), tmp_path / "a.tif")
    with pytest.raises(PictureError, match="limit"):
        read_picture(tmp_path / "a.tif", limit_pixels=Size(9, 8).pixels - 1)


FILES = Path(__file__).parent / "files"


def save(path, values, **options):
    """A TIFF of (height, width) or (height, width, 3 or more) values."""
    options = {"photometric": "rgb" if values.ndim == 3 else "minisblack", "metadata": None} | options
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_sample_format_spans_black_to_white(dtype, order, compression, tmp_path):
    """Signed numbers from the lowest on, as ImageMagick has them in 16 bits."""
    kind = np.dtype(dtype)
    low, high = (0, 1) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = np.array([[low, high], [high, low]], kind)
    found = read_picture(save(tmp_path / "a.tif", values, byteorder=order, compression=compression))
    assert found.bits == (8 if kind.itemsize == 1 else 16)
    assert found.pixels[..., 0].tolist() == [[0, found.levels], [found.levels, 0]]


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize("channels", [1, 3])
def test_integers_between_eight_and_sixteen_bits_span_black_to_white(bits, channels, tmp_path):
    values = np.random.default_rng(bits).integers(0, 2**bits, (5, 7, channels), np.uint16)
    spread = values.reshape(5, -1, 1) >> np.arange(bits - 1, -1, -1) & 1
    packed = np.packbits(spread.reshape(5, -1).astype(np.uint8), axis=1)
    path = save(tmp_path / "a.tif", packed)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        tags[256].overwrite(7)
        tags[258].overwrite((bits,) * channels)
        tags[262].overwrite(1 if channels == 1 else 2)
        tags[277].overwrite(channels)
    assert (read_picture(path).pixels == np.rint(values.astype(float) * 65535 / (2**bits - 1))).all()


def test_twelve_bits_as_a_camera_writes_them():
    found = read_picture(FILES / "grey-12-bit.tif")
    assert (found.pixels.min(), found.pixels.max()) == (0, 65535)


def test_planes_in_lzw():
    with Image.open(FILES / "rgb16-planar-lzw.tif") as image:  # in 8 bits, but by another decoder
        assert (read_picture(FILES / "rgb16-planar-lzw.tif").pixels >> 8 == np.asarray(image)).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_deflate_with_the_predictor_of_floats(dtype, tmp_path):
    """Adobe's technical note 3: bytes sorted by weight, then each less the one before."""
    values = np.random.default_rng(1).random((6, 5, 3)).astype(dtype)
    size = values.itemsize
    planes = values.astype(f">{dtype}").view(np.uint8).reshape(6, 15, size).swapaxes(1, 2).reshape(6, -1, 3).copy()
    planes[:, 1:] -= planes[:, :-1].copy()
    data = zlib.compress(planes.tobytes())
    tags = {256: 5, 257: 6, 258: size * 8, 259: 8, 262: 2, 273: 0, 277: 3, 278: 6, 279: len(data), 317: 3, 339: 3}
    start = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value if tag != 273 else start) for tag, value in tags.items()]
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4) + data)
    assert (read_picture(path).pixels == np.rint(values.astype(np.float32) * 65535)).all()


def test_floats_with_highlights_above_white_are_not_darkened(tmp_path):
    values = np.array([[0, 0.25, 0.5, 1.0, 1.5, np.nan, np.inf]], np.float32)
    found = read_picture(save(tmp_path / "a.tif", values)).pixels.ravel().tolist()
    assert found == [0, 16384, 32768, 65535, 65535, 0, 65535]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("extra", "place"), [([0], None), ([2], 3), ([0, 2], 4), ([0, 0], None), ([2, 0], 3)])
def test_of_extra_samples_only_alpha_is_alpha(bits, extra, place, tmp_path):
    values = noise((9, 8, 3 + len(extra)), bits, 1)
    found = read_picture(save(tmp_path / "a.tif", values, extrasamples=extra))
    assert (found.pixels == values[..., :3]).all()
    assert (found.alpha is None) == (place is None)
    assert place is None or (found.alpha == values[..., place]).all()


class TestPages:
    def test_all_are_read_and_written(self, tmp_path):
        exif = Image.Exif()
        exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
        pictures = [
            Picture(noise((9, 8, 3), 8, 1), None, Metadata(exif=exif.tobytes()[6:], dpi=(72.0, 72.0))),
            Picture(noise((5, 6, 1), 16, 2), noise((5, 6), 16, 3), Metadata(xmp=b"<x/>")),
            Picture(noise((4, 4, 3), 16, 4), None, Metadata(exif=exif.tobytes()[6:])),
        ]
        write_pages(pictures, tmp_path / "a.tif", [picture.size for picture in pictures])
        pages = read_pages(tmp_path / "a.tif")
        assert pages.sizes == tuple(picture.size for picture in pictures)
        for found, picture in zip(pages.pictures(), pictures, strict=True):
            assert same_pixels(found, picture)
            assert (found.metadata.xmp, found.metadata.dpi) == (picture.metadata.xmp, picture.metadata.dpi)
            assert (found.metadata.exif is None) == (picture.metadata.exif is None)
        assert [page.shape for page in tifffile.TiffFile(tmp_path / "a.tif").pages] == [(9, 8, 3), (5, 6, 2), (4, 4, 3)]

    def test_a_single_page_is_no_pages(self, tmp_path):
        assert read_pages(save(tmp_path / "a.tif", noise((5, 6, 3), 16, 1))) is None

    def test_a_preview_is_no_page(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(noise((4, 5, 3), 8, 1), photometric="rgb", subfiletype=1)
            writer.write(values := noise((8, 10, 3), 8, 2), photometric="rgb")
        assert read_pages(tmp_path / "a.tif") is None
        assert (read_picture(tmp_path / "a.tif").pixels == values).all()
