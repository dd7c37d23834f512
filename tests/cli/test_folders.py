"""`upscale` and folders: every file is accounted for, and what can be known is known before the work."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from lib_upscale import atomic_file as atomic_file_module
from lib_upscale.cli import process_file
from tests.cli.program import Upscale, counts, photo, size


class TestEveryFileIsAccountedFor:
    def test_kinds_that_are_not_read_are_named(self, upscale: Upscale) -> None:
        photo(Path("in/a.png"))
        Path("in/b.psd").write_bytes(b"8BPS" + bytes(20))
        Path("in/notes.txt").write_text("none")
        Path("in/.hidden").write_text("none")
        result = upscale("in", "-o", "out")
        assert (result.exit_code, counts(result)) == (0, {"done": 1, "skipped": 0, "failed": 0})
        assert "b.psd  left out, .psd can't be read" in result.stdout
        assert "left out: 1 file that no image format" in result.stdout

    @pytest.mark.parametrize(
        ("name", "start", "package"),
        [("a.heic", b"\0\0\0\x18ftypheic" + bytes(12), "pillow_heif"), ("a.jxl", b"\xff\x0a" + bytes(9), "pillow_jxl")],
    )
    def test_heif_and_jpeg_xl(self, upscale: Upscale, name: str, start: bytes, package: str) -> None:
        if find_spec(package):
            pytest.skip("it is read here")
        Path("in").mkdir()
        Path("in", name).write_bytes(start)
        result = upscale("in", "-o", "out")
        assert f"{name}  left out, " in result.stdout
        assert package.replace("_", "-") in result.stdout
        assert package.replace("_", "-") in upscale(f"in/{name}", "-o", "out").stdout


def test_what_is_not_kept_is_said_once_for_all_files(upscale: Upscale) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    for name in "abc":
        photo(Path(f"in/{name}.jpg"), exif=exif)
    content = Path("in/b.jpg").read_bytes()
    Path("in/d.jpg").write_bytes(content[:-2])
    result = upscale("in", "-o", "out", "--format", "bmp")
    assert (result.exit_code, counts(result)) == (0, {"done": 4, "skipped": 0, "failed": 0})
    assert "  a.bmp and 3 other files: written without its EXIF, which BMP can't hold" in result.stdout.splitlines()
    assert "  d.jpg: lacks its end, but all its pixels are there" in result.stdout.splitlines()
    assert "EXIF" not in result.stderr


class TestKnownBeforeTheWork:
    def test_a_name_that_is_too_long(self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch) -> None:
        name = photo(Path("n" * 251 + ".png"))
        monkeypatch.setattr(process_file, "upscale", None)
        result = upscale(name, "-o", "out/", "--suffix", "-x4")
        assert "choose a shorter, plainer name" in result.stdout
        assert "unexpected" not in result.stdout

    def test_a_folder_in_the_place_of_the_result(self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("out/a.png").mkdir(parents=True)
        monkeypatch.setattr(process_file, "upscale", None)
        result = upscale(photo(Path("a.png")), "-o", "out/", "--overwrite")
        assert "it is a folder" in result.stdout

    def test_what_a_killed_run_left_is_swept(self, upscale: Upscale) -> None:
        Path("out").mkdir()
        killed = subprocess.Popen([sys.executable, "-c", ""])
        killed.wait()
        own = atomic_file_module._temporary_name()
        gone = Path("out", own.replace(f"-{os.getpid()}-", f"-{killed.pid}-"))
        alive, foreign = Path("out", own), Path("out/.0123.part")
        for path in (gone, alive, foreign):
            path.write_bytes(b"half")
        assert upscale(photo(Path("a.png")), "-o", "out/").exit_code == 0
        assert [path.exists() for path in (gone, alive, foreign)] == [False, True, True]


@pytest.mark.parametrize("folder", ["[x]", "a*b?", "-dash", "🙂 é", "{1}"])
def test_names_of_any_characters(upscale: Upscale, folder: str) -> None:
    if sys.platform == "win32" and set("*?") & set(folder):
        pytest.skip("no name there")
    photo(Path(folder, "[y].png"))
    photo(Path(folder, "z.png"))
    for number, name in enumerate((f"./{folder}", f"./{folder}/*.png", f"./{folder}/[y].png")):
        result = upscale(name, "-o", f"out{number}/")
        assert result.exit_code == 0, result.stdout
        assert size(f"out{number}/[y].png") == (48, 32)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_names_that_are_no_text(upscale: Upscale) -> None:
    photo(Path(os.fsdecode(b"in/caf\xe9.png")))
    result = upscale("in", "-o", "out")
    assert result.exit_code == 0, result.stdout
    assert Path(os.fsdecode(b"out/caf\xe9.png")).exists()


def test_an_input_with_a_name_that_is_too_long(upscale: Upscale) -> None:
    result = upscale("n" * 300, "-o", "out/")
    assert "does not exist" in result.stdout
