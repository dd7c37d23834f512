"""Files: everything that travels with a picture comes back; bad files and bad places are told in words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, features

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import FormatLimitError, OutputError, PictureError, PictureTooLargeError, SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import Format, check_writable, is_picture, read_frames, read_picture, read_size, write_picture
from lib_upscale.image.io.opening import check_pixels
from lib_upscale.image.metadata import PARAMETERS, Metadata, apply_orientation
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise, pictures, same_pixels

PARAMETERS_TEXT = "a dog, ein Hund, 犬\nNegative prompt: cat\nSteps: 20, Sampler: Euler a, Size: 512x512"
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
FORMATS = [format for format in Format if format is not Format.AVIF or "avif" in features.get_supported()]


def metadata(channels):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    return Metadata(
        icc=profile if channels == 3 else profile[:16] + b"GRAY" + profile[20:],
        exif=exif.tobytes()[6:],
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xe7\x8a\xac</x:xmpmeta>',
        text={PARAMETERS: PARAMETERS_TEXT, "Title": "t"},
        dpi=(300.0, 150.0),
    )


@relaxed
@given(picture=pictures(), suffix=st.sampled_from((".png", ".tif")))
def test_without_loss_in_both_depths(picture, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_picture(picture, path)
    assert same_pixels(read_picture(path), picture)


@relaxed
@given(picture=pictures(bits=st.just(8), channels=st.just(3)))
def test_webp_without_loss(picture, tmp_path):
    path = tmp_path / "a.webp"
    write_picture(picture, path, lossless=True)
    found = read_picture(path)
    assert (found.pixels == picture.pixels).all()
    assert picture.alpha is None or picture.opaque or (found.alpha == picture.alpha).all()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_format_takes_every_picture(format, channels, alpha, bits, tmp_path):
    pixels = np.full((20, 30, channels), 2**bits // 2, np.uint8 if bits == 8 else np.uint16)
    opacity = pixels[..., 0].copy()
    opacity[:3] = 0
    picture = Picture(pixels, opacity if alpha else None, metadata(channels))
    path = tmp_path / f"a.{format.value}"
    write_picture(picture, path)
    found = read_picture(path)
    assert found.size == picture.size
    assert found.bits == (bits if format in (Format.PNG, Format.TIFF) else 8)
    assert (found.alpha is not None) == (alpha and format not in (Format.JPEG, Format.BMP))
    expected = 191 if alpha and format in (Format.JPEG, Format.BMP) else 128
    assert np.abs(found.with_bits(8).pixels[8:].astype(int) - expected).max() <= 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", [format for format in FORMATS if format not in (Format.GIF, Format.BMP)])
@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_survives(format, bits, tmp_path):
    given = metadata(3)
    path = tmp_path / f"a.{format.value}"
    write_picture(Picture(noise((8, 9, 3), bits, 1), None, given), path)
    found = read_picture(path).metadata
    assert found.icc == given.icc
    assert found.xmp == given.xmp
    assert found.text[PARAMETERS] == PARAMETERS_TEXT
    exif = Image.Exif()
    exif.load(b"Exif\x00\x00" + found.exif)
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    if format in (Format.PNG, Format.JPEG, Format.TIFF):
        assert found.dpi == pytest.approx(given.dpi, abs=0.02)
    if format is Format.PNG:
        assert found == Metadata(given.icc, given.exif, given.xmp, found.text, found.dpi)
        assert dict(found.text) == dict(given.text)


def test_a_gray_profile_stays_with_gray(tmp_path):
    given = metadata(1)
    for suffix in (".png", ".jpg", ".tif"):
        write_picture(Picture(noise((4, 4, 1), 8, 1), None, given), tmp_path / f"a{suffix}")
        assert read_picture(tmp_path / f"a{suffix}").metadata.icc == given.icc
        write_picture(Picture(noise((4, 4, 3), 8, 1), None, given), tmp_path / f"b{suffix}")
        assert read_picture(tmp_path / f"b{suffix}").metadata.icc is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_files_is_applied_once(orientation, tmp_path):
    image = Image.fromarray(noise((4, 6), 8, 2) // 32 * 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = apply_orientation(np.array(image), orientation)
    for suffix in (".png", ".webp", ".tif"):
        path = tmp_path / f"a{suffix}"
        image.save(path, exif=exif, lossless=True)
        for _ in range(2):
            found = read_picture(path)
            assert (found.pixels[..., 0] == expected).all(), suffix
            write_picture(found, path, lossless=suffix == ".webp")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_tiff_is_applied_once(orientation, tmp_path):
    pixels = noise((4, 6, 3), 16, 1)
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[tag], metadata=None)
    assert (read_picture(tmp_path / "a.tif").pixels == apply_orientation(pixels, orientation)).all()


@pytest.mark.parametrize(
    "name", ["ünï 犬 🐕.png", "a" * 250 + ".png", "#1 [x] %20 'q'.png", ".hidden.png", "trailing. .png"]
)
def test_names_of_any_kind(name, tmp_path):
    picture = Picture(noise((3, 4, 3), 8, 1))
    write_picture(picture, tmp_path / name)
    assert same_pixels(read_picture(tmp_path / name), picture)
    assert is_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("empty.png", b"", "is empty"),
        ("page.jpg", b"<!DOCTYPE html><html>", "not an image"),
        ("broken.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "damaged"),
        ("broken.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "damaged"),
        ("broken.tif", b"II*\x00\xff\xff\xff\x7f", "damaged"),
        ("broken.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "damaged"),
        ("broken.gif", b"GIF89a", "damaged"),
    ],
)
def test_what_is_no_picture_is_said(name, body, word, tmp_path):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(PictureError, match=word) as caught:
        read_picture(tmp_path / name)
    assert str(caught.value).startswith(name)


def test_missing_files_and_folders_are_said(tmp_path):
    with pytest.raises(PictureError, match="does not exist"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(PictureError, match="folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif", ".bmp"])
def test_broken_off_files_are_errors_and_never_half_gray(suffix, tolerant, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)  # a host may set it for all
    path = tmp_path / f"a{suffix}"
    write_picture(Picture(noise((90, 110, 3), 8, 1)), path)
    body = path.read_bytes()
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(body[: int(len(body) * part)])
        with pytest.raises(PictureError):
            read_picture(path)


def test_a_picture_beyond_the_limit_is_refused_before_decoding(tmp_path, monkeypatch):
    for suffix in (".png", ".jpg", ".tif", ".gif", ".webp", ".bmp"):
        path = tmp_path / f"a{suffix}"
        write_picture(Picture(noise((20, 20, 3), 8, 1)), path)
        with pytest.raises(PictureTooLargeError, match=r"20x20.*limit"):
            read_picture(path, limit_pixels=399)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # the host's own limit is the host's
        assert read_picture(path, limit_pixels=400).size == Size(20, 20)
        assert read_picture(path, limit_pixels=None).size == Size(20, 20)
        assert Image.MAX_IMAGE_PIXELS == 100
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (100, "0.0001"),
        (9_000, "0.009"),
        (10_000, "0.01"),
        (8_500_000, "8.5"),
        (178_956_970, "179"),
        (2 * 10**9, "2,000"),
    ],
)
def test_the_limit_is_named_as_it_was_given(limit, words):
    with pytest.raises(PictureTooLargeError, match=f"the limit of {re.escape(words)} megapixels"):
        check_pixels(Path("a.png"), Size(100_000, 100_000), limit)


@pytest.mark.parametrize(
    ("name", "size", "advice"),
    [
        ("a.jpg", Size(65501, 1), ".png or .tif"),
        ("a.webp", Size(10, 16384), ".png or .tif or .jpg"),
        ("a.gif", Size(65536, 1), ".png or .tif"),
        ("a.png", Size(2**31, 1), None),
    ],
)
def test_a_size_the_format_cannot_hold_is_said_with_one_that_can(name, size, advice, tmp_path):
    with pytest.raises(FormatLimitError, match=str(size)) as caught:
        check_writable(tmp_path / name, size)
    if advice:
        assert caught.value.advice == f"write it as {advice}"


def test_the_largest_sizes_are_true(tmp_path):
    line = noise((1, 65500, 1), 8, 1)
    for name, longest in (("a.jpg", 65500), ("a.webp", 16383), ("a.gif", 65500)):
        assert check_writable(tmp_path / name, Size(longest, 1))
        write_picture(Picture(line[:, :longest]), tmp_path / name)
        assert read_picture(tmp_path / name).size == Size(longest, 1)


def test_depth_and_alpha_decide_what_is_recommended(tmp_path):
    with pytest.raises(FormatLimitError) as caught:
        check_writable(tmp_path / "a.webp", Size(20000, 10), 8, alpha=True)
    assert caught.value.advice == "write it as .png or .tif"


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    for name in ("a.xyz", "a"):
        with pytest.raises(OutputError, match=r"\.png"):
            write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / name)
    write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / "b", format="png")
    assert is_picture(tmp_path / "b")


def test_impossible_qualities_are_refused(tmp_path):
    picture = Picture(noise((3, 3, 3), 8, 1))
    with pytest.raises(SettingsError):
        write_picture(picture, tmp_path / "a.jpg", quality=101)
    with pytest.raises(SettingsError, match="PNG"):
        write_picture(picture, tmp_path / "a.jpg", lossless=True)
    assert list(tmp_path.iterdir()) == []


def test_less_quality_is_a_smaller_file(tmp_path):
    for suffix in (".jpg", ".webp"):
        for quality in (20, 95):
            write_picture(Picture(noise((64, 64, 3), 8, 1)), tmp_path / f"{quality}{suffix}", quality=quality)
        assert (tmp_path / f"20{suffix}").stat().st_size < (tmp_path / f"95{suffix}").stat().st_size


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / "none" / "a.png")


def test_a_folder_in_the_way_is_said_and_stays(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError):
        write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_stops_it_the_old_file_stays_whole(error, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_file(path) as stream:  # noqa: PT012
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".gif"])
def test_a_disk_that_takes_no_more_leaves_nothing_behind(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    code = f"""
import resource, signal, numpy as np
from lib_upscale.errors import OutputError
from lib_upscale.image.io import write_picture
from lib_upscale.image.picture import Picture
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
try:
    write_picture(Picture(pixels), {str(path)!r})
except OutputError as error:
    print(error)
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "too large for this disk" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="does not allow"):
            write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / "a.png")
    finally:
        tmp_path.chmod(0o700)


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.png"
    picture = Picture(noise((60, 60, 3), 8, 1))
    write_picture(picture, path)
    until = time.monotonic() + 0.5
    writer = threading.Thread(
        target=lambda: [write_picture(picture, path) for _ in range(60) if time.monotonic() < until]
    )
    writer.start()
    while writer.is_alive():
        assert same_pixels(read_picture(path), picture)


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions are a matter of POSIX")
def test_links_and_permissions_are_as_usual(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    (tmp_path / "plain").write_bytes(b"")
    write_picture(Picture(noise((3, 3, 3), 8, 1)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert read_picture(tmp_path / "real.png").size == Size(3, 3)
    assert (tmp_path / "real.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_real_photographs(shared_images, tmp_path):
    for source in sorted(shared_images.glob("*.png")):
        picture = read_picture(source)
        assert (picture.pixels == np.array(Image.open(source).convert("RGB"))).all()
        write_picture(picture, tmp_path / "a.png")
        assert same_pixels(read_picture(tmp_path / "a.png"), picture)
        assert (tmp_path / "a.png").stat().st_size < 1.1 * source.stat().st_size


@pytest.mark.parametrize("name", ["orientation-in-xmp-only.jpg", "orientation-as-long.jpg"])
def test_orientation_wherever_it_stands(name, tmp_path):
    """ImageMagick and browsers turn the one, Lightroom the other."""
    path = Path(__file__).parent / "files" / name
    with Image.open(path) as image:
        upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
        size = image.size
    found = read_picture(path)
    assert (found.pixels == upright).all()
    assert read_size(path) == found.size == Size(size[1], size[0])
    write_picture(found, tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").size == found.size, "it is not turned twice"


def test_a_gif_without_its_last_byte_is_read_and_said(caplog, tmp_path):
    path = Path(__file__).parent / "files/gif-without-trailer.gif"
    animation = read_frames(path)
    assert animation.count == len(list(animation.frames())) == 3
    assert "lacks its end" in caplog.text
    (tmp_path / "a.gif").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(PictureError):
        list(read_frames(tmp_path / "a.gif").frames())


def test_a_png_without_its_last_chunk_is_read_and_said(caplog, tmp_path):
    picture = Picture(noise((9, 8, 3), 8, 1))
    write_picture(picture, tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[:-12])
    assert same_pixels(read_picture(tmp_path / "b.png"), picture)
    assert "lacks its end" in caplog.text
    (tmp_path / "b.png").write_bytes(content[:-60])
    with pytest.raises(PictureError):
        read_picture(tmp_path / "b.png")
