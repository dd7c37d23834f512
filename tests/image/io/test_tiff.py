"""TIFF files as other programs write them."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from lib_upscale.errors import PictureError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.files import read_picture, write_picture
from lib_upscale.image.io.tiff_writer import write_tiff
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise, pictures, same_pixels


@given(pictures())
def test_tifffile_reads_the_same(picture):
    tifffile = pytest.importorskip("tifffile")
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
        if bits == 8:
            assert same_pixels(read_picture(tmp_path / "a.tif"), picture)
        else:
            pytest.importorskip("tifffile")
            assert same_pixels(read_picture(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_sixteen_bits_in_every_layout(channels, order, planes, tmp_path):
    tifffile = pytest.importorskip("tifffile")
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
    tifffile = pytest.importorskip("tifffile")
    values = np.array([[[10000, 20000, 30000, 32768], [5, 5, 5, 0], [1, 2, 3, 65535]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    found = read_picture(tmp_path / "a.tif")
    assert found.alpha.tolist() == [[32768, 0, 65535]]
    assert found.pixels[0, 0].tolist() == [20000, 39999, 59999]
    assert found.pixels[0, 2].tolist() == [1, 2, 3]


def test_white_is_zero(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 65535]], np.uint16), photometric="miniswhite", metadata=None)
    assert read_picture(tmp_path / "a.tif").pixels.ravel().tolist() == [65535, 0]


def test_floats_and_long_numbers(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 0.5, 1.0]], np.float32), photometric="minisblack", metadata=None)
    assert read_picture(tmp_path / "a.tif").pixels.ravel().tolist() == [0, 32768, 65535]
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 2**32 - 1]], np.uint32), photometric="minisblack", metadata=None)
    assert read_picture(tmp_path / "b.tif").pixels.ravel().tolist() == [0, 65535]


def test_big_tiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = noise((6, 5, 3), 16, 1)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", bigtiff=True, metadata=None)
    assert (read_picture(tmp_path / "a.tif").pixels == values).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_without_tifffile(channels, tmp_path, monkeypatch):
    """Pillow unpacks what tifffile can't without a further package, and all of it where tifffile is missing."""
    picture = Picture(noise((9, 8, 3), 16, 1), noise((9, 8), 16, 2) if channels == 4 else None)
    if channels == 1:
        picture = Picture(picture.pixels[..., :1])
    write_picture(picture, tmp_path / "a.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert same_pixels(read_picture(tmp_path / "a.tif"), picture)


def test_what_needs_tifffile_says_so(tmp_path, monkeypatch):
    write_picture(Picture(noise((9, 8, 1), 16, 1), noise((9, 8), 16, 2)), tmp_path / "a.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(PictureError, match="pip install tifffile"):
        read_picture(tmp_path / "a.tif")


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
