"""How deep an AVIF is, which Pillow reads as 8 bits, is named."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from lib_upscale.image.io import heif, read_frames, read_picture
from lib_upscale.image.io.boxes import avif_bits

FILES = Path(__file__).parent / "files"
"""Written by libavif, by way of the package imagecodecs."""
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


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
class TestDepthOfAvif:
    @pytest.fixture(autouse=True)
    def _by_pillow_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some builds of pillow-heif read AVIF, with all its bits."""
        monkeypatch.setattr(heif, "find_spec", lambda name: None)

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
