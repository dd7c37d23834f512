"""A JPEG without its last marker is read and said; one whose pixels are missing is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from lib_upscale.errors import PictureError
from lib_upscale.image.io import read_picture
from tests.image.strategies import noise, same_pixels

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "subsampled": {"subsampling": 2, "quality": 60},
    "progressive": {"progressive": True},
    "progressive, subsampled": {"progressive": True, "subsampling": 2, "quality": 40},
    "restarts": {"restart_marker_blocks": 3},
    "own tables": {"optimize": True},
}


MARKERS = (0xDA, 0xC4, *range(0xD0, 0xD8))


def smooth() -> Image.Image:
    return Image.linear_gradient("L").resize((70, 45)).convert("RGB").rotate(30)


def flat() -> Image.Image:
    return Image.new("RGB", (64, 48), (200, 30, 60))


def rough() -> Image.Image:
    return Image.fromarray(noise((45, 70, 3), 8, 1))


def jpeg(image: Image.Image, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", [smooth(), flat(), rough(), rough().convert("L"), rough().convert("CMYK")])
@pytest.mark.parametrize("lost", [1, 2])
def test_without_its_last_marker(
    image: Image.Image, kind: str, lost: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = jpeg(image, KINDS[kind])
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(content[:-lost])
    whole, found = read_picture(tmp_path / "a.jpg"), read_picture(tmp_path / "b.jpg")
    assert same_pixels(found, whole)
    assert "b.jpg: lacks its end" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", [smooth(), flat(), rough()])
def test_where_pixels_are_missing(
    image: Image.Image, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut anywhere it is refused, or it is the whole image: the last byte may hold nothing but padding."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", kind != "baseline")  # a host may have set it for all
    content, path = jpeg(image, KINDS[kind]), tmp_path / "a.jpg"
    path.write_bytes(content)
    whole = read_picture(path)
    lengths = {*range(len(content) - 24, len(content) - 2), *np.linspace(2, len(content) - 3, 12).astype(int)}
    for length in sorted({*lengths, *scan_ends(content)}):
        path.write_bytes(content[:length])
        try:
            found = read_picture(path)
        except PictureError:
            continue
        assert length >= len(content) - 3
        assert same_pixels(found, whole)


def scan_ends(content: bytes) -> list[int]:
    """Where a scan, a table or a restart begins after the first scan: what lies before is whole in itself."""
    starts = [at for at in range(len(content) - 1) if content[at] == 0xFF and content[at + 1] in MARKERS]
    first = content.index(b"\xff\xda")
    return [at for at in starts if at > first]
