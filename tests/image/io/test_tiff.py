"""TIFF files as other programs write them."""

from __future__ import annotations

import io
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from hypothesis import given
from PIL import Image

from lib_upscale.errors import PictureError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import read_picture, tiff_writer, write_picture
from lib_upscale.image.io.tiff_writer import write_tiff
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


@pytest.mark.parametrize("channels", [1, 3, 4])
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
