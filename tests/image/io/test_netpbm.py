"""PBM, PGM, PPM and PAM: every maximum spans black to white; the right values are those of ImageMagick and ffmpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib_upscale.errors import PictureError, PictureTooLargeError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import is_picture, read_frames, read_picture, read_size

IN_16_BITS = {9: 32703, 10: 32735, 12: 32759, 15: 32766, 16: 32767}
"""By bits, what `convert -depth 16` and `ffmpeg -pix_fmt rgb48le` make of half the maximum, rounded down."""


def header(magic: str, maximum: int, channels: int) -> str:
    if magic != "P7":
        return f"{magic}\n# a comment\n3 1 # another\n{maximum}\n"
    kind = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[channels]
    return f"P7\n# a comment\nWIDTH 3\nHEIGHT 1\nDEPTH {channels}\nMAXVAL {maximum}\nTUPLTYPE {kind}\nENDHDR\n"


@pytest.mark.parametrize(
    ("magic", "channels"), [("P2", 1), ("P3", 3), ("P5", 1), ("P6", 3), ("P7", 1), ("P7", 2), ("P7", 3), ("P7", 4)]
)
@pytest.mark.parametrize("bits", IN_16_BITS)
def test_over_8_bits(magic: str, channels: int, bits: int, tmp_path: Path) -> None:
    most = 2**bits - 1
    values = np.array([0, most // 2, most], ">u2").repeat(channels)
    body = " ".join(map(str, values)).encode() if magic in ("P2", "P3") else values.tobytes()
    (tmp_path / "a.pam").write_bytes(header(magic, most, channels).encode() + body)
    found = read_picture(tmp_path / "a.pam")
    expected = [0, IN_16_BITS[bits], 65535]
    assert found.pixels.dtype == np.uint16
    assert all(found.pixels[0, :, channel].tolist() == expected for channel in range(found.channels))
    assert (found.channels, found.alpha is None) == ((channels - 1) // 2 * 2 + 1, channels % 2 == 1)
    if found.alpha is not None:
        assert found.alpha[0].tolist() == expected


@pytest.mark.parametrize(("maximum", "half"), [(255, 127), (31, 123), (100, 128)])
def test_up_to_8_bits(maximum: int, half: int, tmp_path: Path) -> None:
    body = bytes([0, {255: 127, 31: 15, 100: 50}[maximum], maximum])
    (tmp_path / "a.pgm").write_bytes(header("P5", maximum, 1).encode() + body)
    found = read_picture(tmp_path / "a.pgm")
    assert (found.bits, found.pixels[0, :, 0].tolist()) == (8, [0, half, 255])


@pytest.mark.parametrize("content", [b"P1\n10 2\n1010101010 0101010101\n", b"P4 10 2\n\xaa\x80\x55\x40"])
def test_bitmaps_have_1_for_black(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(content)
    assert read_picture(tmp_path / "a.pbm").pixels[..., 0].tolist() == [[0, 255] * 5, [255, 0] * 5]


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 4\n255\n" + bytes(15),
        b"P6 4 4 65535 " + bytes(95),
        b"P2\n2 2\n255\n1 2 3",
        b"P2\n2 2\n255\n1 2 3 900",
        b"P2\n2 2\n255\n1 2 3 x",
        b"P4 10 2\n\xaa\x80\x55",
        b"P5\n0 4\n255\n",
        b"P5\n4 4\n70000\n" + bytes(32),
        b"P5\n4",
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\n" + bytes(12),
        b"P7\nWIDTH 2\nHEIGHT 2\nMAXVAL 255\nENDHDR\n" + bytes(12),
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\n" + bytes(16),
    ],
)
def test_what_is_damaged_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pnm").write_bytes(content)
    with pytest.raises(PictureError, match=r"a\.pnm is damaged"):
        read_picture(tmp_path / "a.pnm")


def test_the_size_is_known_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.pam"
    path.write_bytes(header("P7", 4095, 4).encode() + bytes(24))
    assert is_picture(path)
    assert read_frames(path) is None
    assert read_size(path) == Size(3, 1)
    for read in (read_size, read_picture):
        with pytest.raises(PictureTooLargeError):
            read(path, limit_pixels=2)
