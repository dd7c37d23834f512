"""Pillow's modes, palettes, profiles and orientations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from lib_upscale.image.geometry import Region
from lib_upscale.image.picture import Picture
from tests.image.strategies import pictures, same_pixels


@given(pictures(bits=st.just(8)))
def test_to_pillow_and_back(picture):
    assert same_pixels(Picture.from_pil(picture.to_pil()), picture)


@given(pictures())
def test_sixteen_bits_hold_eight(picture):
    deep = picture.with_bits(16)
    assert deep.bits == 16
    if picture.bits == 8:
        assert same_pixels(deep.with_bits(8), picture)
        assert (deep.pixels == picture.pixels.astype(int) * 257).all()


def test_an_opaque_alpha_channel_stays_and_takes_no_memory():
    picture = Picture(np.zeros((50, 60, 3), np.uint8), np.full((50, 60), 255, np.uint8))
    assert picture.opaque
    assert picture.alpha is not None
    assert picture.alpha.strides == (0, 0)
    assert picture.to_pil().mode == "RGBA"
    assert picture.cropped(Region(1, 2, 3, 4)).opaque
    assert not Picture(np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 254, np.uint8)).opaque


def test_an_alpha_of_another_shape_or_depth_is_no_picture():
    with pytest.raises(ValueError, match="alpha"):
        Picture(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="alpha"):
        Picture(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint16))


def test_red_stays_red():
    assert Picture.from_pil(Image.new("RGB", (1, 1), (200, 100, 50))).pixels.tolist() == [[[200, 100, 50]]]


def test_a_palette_becomes_rgb_and_keeps_its_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    assert Picture.from_pil(image).pixels[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert Picture.from_pil(image).alpha is None
    image.info["transparency"] = 1
    assert Picture.from_pil(image).alpha.tolist() == [[255, 0, 255]]
    image.info["transparency"] = bytes([10, 255, 99])
    assert Picture.from_pil(image).alpha.tolist() == [[10, 255, 99]]


def test_black_and_white_and_color_keys():
    picture = Picture.from_pil(Image.new("1", (2, 2), 1))
    assert picture.channels == 1
    assert (picture.pixels == 255).all()
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (1, 2, 4))
    image.info["transparency"] = (1, 2, 3)
    assert Picture.from_pil(image).alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bit_gray_from_pillow(mode):
    values = np.array([[0, 1, 256], [40000, 65535, 255]])
    stored = {"I;16": "<u2", "I;16B": ">u2", "I": "=i4"}[mode]
    image = Image.frombytes(mode, (3, 2), values.astype(stored).tobytes())
    picture = Picture.from_pil(image)
    assert picture.bits == 16
    assert picture.pixels[..., 0].tolist() == values.tolist()


def test_floats_are_scaled_by_what_they_hold():
    for top in (1.0, 255.0, 65535.0):
        image = Image.fromarray(np.array([[0, top / 2, top]], np.float32))
        assert Picture.from_pil(image).pixels.ravel().tolist() == [0, 32768, 65535]


def test_cmyk_goes_through_its_profile_or_else_pillow():
    plain = Picture.from_pil(Image.new("CMYK", (1, 1), (0, 0, 0, 0)))
    assert plain.pixels.tolist() == [[[255, 255, 255]]]
    broken = Image.new("CMYK", (1, 1), (0, 0, 0, 0))
    broken.info["icc_profile"] = b"no profile at all"
    assert Picture.from_pil(broken).pixels.tolist() == [[[255, 255, 255]]]
    assert Picture.from_pil(broken).metadata.icc is None


def test_lab_becomes_srgb():
    lab = Image.merge("LAB", [Image.new("L", (1, 1), value) for value in (255, 128, 128)])
    assert np.abs(Picture.from_pil(lab).pixels.astype(int) - 255).max() <= 3


def test_a_profile_for_colors_is_not_given_to_gray():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = Image.new("L", (1, 1))
    gray.info["icc_profile"] = srgb
    assert "icc_profile" not in Picture.from_pil(gray).to_pil().info
    color = Image.new("RGB", (1, 1))
    color.info["icc_profile"] = srgb
    assert Picture.from_pil(color).to_pil().info["icc_profile"] == srgb


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    image.info["exif"] = exif.tobytes()
    image.info["xmp"] = b'<rdf:Description tiff:Orientation="%d"/>' % orientation
    expected = np.array(ImageOps.exif_transpose(image))
    picture = Picture.from_pil(image)
    assert (picture.pixels[..., 0] == expected).all()
    assert b'tiff:Orientation="1"' in picture.metadata.xmp
    again = Picture.from_pil(picture.to_pil())
    assert (again.pixels[..., 0] == expected).all()
    kept = Image.Exif()
    kept.load(b"Exif\x00\x00" + again.metadata.exif)
    assert kept[0x010F] == "Maker"
    assert kept[0x0112] == 1


@pytest.mark.parametrize(
    "exif", [b"", b"II*\x00", b"MM\x00*\xff\xff\xff\xff", b"nonsense", b"II*\x00\x08\x00\x00\x00\xff\xff"]
)
def test_damaged_exif_is_no_reason_to_refuse_a_picture(exif):
    image = Image.new("RGB", (2, 3))
    image.info["exif"] = exif
    assert Picture.from_pil(image).size.height == 3
