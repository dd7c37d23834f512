"""What a walk through folders takes for a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lib_upscale.image.io import SUPPORTED_SUFFIXES, WRITABLE_SUFFIXES, is_picture, write_picture
from lib_upscale.image.metadata import Metadata
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif"])
def test_pictures_are_known_by_suffix_or_by_their_first_bytes(suffix, tmp_path):
    picture = Picture(noise((3, 3, 3), 8, 1))
    for name in (f"a{suffix}", f"a{suffix.upper()}", "a", "a.download"):
        write_picture(picture, tmp_path / name, format=suffix[1:])
        assert is_picture(tmp_path / name)


def test_other_files_folders_and_missing_ones_are_none(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    for name in ("notes.txt", "folder.png", "missing.png", "."):
        assert not is_picture(tmp_path / name)


def test_what_can_be_written_can_be_read():
    assert WRITABLE_SUFFIXES < SUPPORTED_SUFFIXES


def test_an_exif_block_too_long_for_jpeg_loses_only_its_largest_values(tmp_path, caplog):
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x927C: bytes(70000)}
    picture = Picture(np.zeros((8, 8, 3), np.uint8), None, Metadata(exif=exif.tobytes()[6:]))
    write_picture(picture, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        found = image.getexif()
        assert found[0x010F] == "A maker"
        assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert "without its EXIF values of over 8192 bytes, which JPEG can't hold" in caplog.text
