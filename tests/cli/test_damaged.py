"""Folders with damaged files: each is accounted for, and none ends the others."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from lib_upscale.cli import process_file
from tests.cli.program import photo, run


@pytest.fixture
def options(model: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """An output folder and the tiny model."""
    return "-o", tmp_path / "out", "--model", "2x-tiny", "--models-dir", model.parent, "--device", "cpu"


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def tiff(values: np.ndarray[Any, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def sound_files() -> dict[str, bytes]:
    """By suffix with a number before it, one small file of every kind that is read."""
    rgb = Image.linear_gradient("L").resize((12, 9)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A maker"
    frames = {"save_all": True, "append_images": [rgb.rotate(180), rgb], "duration": 50}
    deep = np.arange(12 * 9 * 3, dtype=np.uint16).reshape(9, 12, 3) * 200
    files = {
        "1.png": saved(rgb, "PNG", exif=exif.tobytes(), dpi=(72, 72)),
        "2.png": saved(rgb.convert("P"), "PNG", transparency=0),
        "3.png": saved(Image.fromarray(deep[..., 0]), "PNG"),
        "4.png": saved(rgb, "PNG", **frames),
        "1.gif": saved(rgb, "GIF"),
        "2.gif": saved(rgb, "GIF", **frames),
        "1.jpg": saved(rgb, "JPEG", exif=exif.tobytes()),
        "2.jpg": saved(rgb.convert("CMYK"), "JPEG", progressive=True),
        "1.webp": saved(rgb, "WEBP", lossless=True),
        "2.webp": saved(rgb, "WEBP", **frames),
        "1.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "2.tif": tiff(deep, photometric="rgb", compression="zlib"),
        "3.tif": tiff(deep.astype(np.float32) / 65535, photometric="rgb"),
        "1.bmp": saved(rgb, "BMP"),
        "1.ppm": saved(rgb, "PPM"),
        "2.ppm": b"P6 12 9 4095 " + deep.astype(">u2").tobytes(),
        "1.pam": b"P7\nWIDTH 12\nHEIGHT 9\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + rgb.tobytes(),
        "3.jpg": saved(rgb, "MPO", save_all=True, append_images=[rgb]),
        "1.tga": saved(rgb, "TGA", compression="tga_rle"),
        "1.dds": saved(rgb, "DDS"),
    }
    if features.check("jpg_2000"):
        files["1.jp2"] = saved(rgb, "JPEG2000")
    if features.check("avif"):
        files["1.avif"] = saved(rgb, "AVIF", exif=exif.tobytes())
    return files


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Break a file in one of the ways that disks, networks and people do."""
    body = bytearray(content)
    start = dice.randrange(len(body))
    match dice.randrange(5):
        case 0:  # broken off
            del body[start:]
        case 1:  # a few wrong bytes, mostly near the start, where headers lie
            for _ in range(dice.randint(1, 4)):
                body[min(len(body) - 1, int(dice.expovariate(1 / 60)))] = dice.randrange(256)
        case 2:  # a hole
            del body[start : start + dice.randint(1, 8)]
        case 3:  # a block of zeros
            body[start : start + 16] = bytes(len(body[start : start + 16]))
        case 4:  # something in between
            body[start:start] = dice.randbytes(dice.randint(1, 8))
    return bytes(body)


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_mutated_files_of_every_kind_are_all_accounted_for(
    tmp_path: Path, options: tuple[str | Path, ...], count: int
) -> None:
    dice, files, folder = random.Random(count), sound_files(), tmp_path / "in"
    folder.mkdir()
    for number in range(count):
        name = sorted(files)[number % len(files)]
        (folder / f"{number:04}-{name}").write_bytes(mutate(files[name], dice))
    for name, content in files.items():
        (folder / f"sound-{name.replace('.', '-')}.{name[2:]}").write_bytes(content)
    result = run("upscale", folder, *options, "--limit-megapixels", "0.01")
    table = [line.split()[:2] for line in result.stdout.splitlines()[:3]]
    done, skipped, failed = (int(number) for _, number in table)
    assert (done + failed, skipped) == (count + len(files), 0), result.stderr
    results = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert len(results) == done >= len(files)
    assert result.stdout.count(str(folder)) == failed, "every one that failed is named"
    assert "sound-" not in result.stdout
    assert "unexpected" not in result.stdout


def test_two_bytes(tmp_path: Path, options: tuple[str | Path, ...]) -> None:
    (photo(tmp_path / "in/good.jpg").parent / "two-bytes.jpg").write_bytes(b"\xff\xd8")
    result = run("upscale", tmp_path / "in", *options)
    assert result.exit_code == 1
    assert (tmp_path / "out/good.jpg").is_file()
    assert "two-bytes.jpg  is not an image" in result.stdout


@pytest.mark.parametrize("function", ["read_size", "read_frames"])
def test_a_decoder_that_raises_anything_fails_that_file_alone(
    tmp_path: Path, options: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original = getattr(process_file, function)

    def fail(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "a.png":
            raise struct.error("unpack_from requires a buffer of at least 4 bytes")
        return original(path, *arguments, **more)

    monkeypatch.setattr(process_file, function, fail)
    photo(tmp_path / "in/a.png")
    photo(tmp_path / "in/b.png")
    run("upscale", tmp_path / "in", *options)
    assert (tmp_path / "out/b.png").is_file()


@pytest.mark.slow
def test_a_first_file_whose_result_is_too_large_fails_alone(tmp_path: Path, options: tuple[str | Path, ...]) -> None:
    photo(tmp_path / "in/a.png", 1, 3000)
    photo(tmp_path / "in/b.png", 8, 8)
    result = run("upscale", tmp_path / "in", *options, "--width", "2000")
    assert (result.exit_code, (tmp_path / "out/b.png").is_file()) == (1, True)
    assert "a.png  The result would have" in result.stdout
