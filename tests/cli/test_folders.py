"""`upscale` and folders: every file is accounted for, and what can be known is known before the work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, features

from lib_upscale import atomic_file as atomic_file_module
from lib_upscale.atomic_file import check_place
from lib_upscale.cli import process_file
from tests.cli.program import Upscale, counts, photo


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

    @pytest.mark.parametrize(
        ("name", "size", "words"),
        [
            ("a.jpg", (32751, 2), "JPEG ends at 65500 pixels a side"),
            ("a.webp", (2, 8192), "WEBP ends at 16383 pixels a side"),
            ("a.gif", (32768, 2), "GIF ends at 65535 pixels a side"),
            ("a.avif", (2, 16385), "AVIF ends at 32768 pixels a side"),
        ],
    )
    def test_a_size_that_the_format_can_not_hold(
        self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int], words: str
    ) -> None:
        if name == "a.avif" and not features.check("avif"):
            pytest.skip("this Pillow has no AVIF")
        monkeypatch.setattr(process_file, "upscale", None)
        result = upscale(photo(Path("source.png"), *size), "-o", name)
        assert words in result.stdout
        assert not Path(name).exists()

    def test_a_target_of_too_many_pixels(self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process_file, "upscale", None)
        result = upscale(photo(Path("a.png"), 1, 3000), "-o", "b.png", "--width", "2000")
        assert "The result would have" in result.stdout

    @pytest.mark.parametrize("suffix", [".png", ".bmp"])
    def test_a_full_disk(self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
        full = shutil.disk_usage(".")._replace(free=2)
        monkeypatch.setattr(atomic_file_module.shutil, "disk_usage", lambda _: full)
        monkeypatch.setattr(process_file, "upscale", None)
        result = upscale(photo(Path("a.png"), 100, 100), "-o", f"out/a{suffix}")
        assert "the disk is full: make room or choose another folder" in result.stdout

    @pytest.mark.parametrize("error", [None, OSError("not supported")])
    def test_a_disk_that_does_not_know_its_size(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError | None
    ) -> None:
        """Some folders of the network, and of programs (FUSE), say 0 of 0 bytes or nothing."""

        def disk_usage(folder: Path) -> object:
            if error is not None:
                raise error
            return shutil.disk_usage("/")._replace(total=0, used=0, free=0)

        monkeypatch.setattr(atomic_file_module, "shutil", SimpleNamespace(disk_usage=disk_usage))
        check_place(tmp_path / "a.png", 1000)

    @pytest.mark.parametrize("options", [("-o", "out/", "--format", "jpg"), ("-o", "a.jpg")])
    def test_lossless_jpeg(self, upscale: Upscale, options: tuple[str, ...]) -> None:
        result = upscale(photo(Path("a.png")), *options, "--lossless")
        assert "JPEG can't be written without loss: choose PNG, TIFF or WebP" in result.stderr
        assert result.exit_code == 1

    def test_lossless_where_only_some_are_jpeg(self, upscale: Upscale, monkeypatch: pytest.MonkeyPatch) -> None:
        photo(Path("in/a.jpg"))
        monkeypatch.setattr(process_file, "upscale", None)
        assert "JPEG can't be written without loss" in upscale("in", "-o", "out/", "--lossless").stdout

    def test_a_suffix_that_is_a_path(self, upscale: Upscale) -> None:
        result = upscale(photo(Path("a.png")), "-o", "out/", "--suffix", "/x")
        assert "is no suffix for a name" in result.stderr

    @pytest.mark.parametrize("out", ["file.txt/out/", "file.txt/b.png"])
    def test_a_file_in_the_place_of_a_folder(self, upscale: Upscale, out: str) -> None:
        Path("file.txt").touch()
        result = upscale(photo(Path("a.png")), "-o", out)
        assert "can't be written, file.txt is a file, not a folder" in result.stderr

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
    @pytest.mark.parametrize("out", ["locked", "locked/new/", "locked/b.png"])
    def test_a_folder_that_does_not_allow_it(self, upscale: Upscale, out: str) -> None:
        Path("locked").mkdir(mode=0o500)
        result = upscale(photo(Path("a.png")), "-o", out)
        assert "can't be written, locked does not allow it" in result.stderr

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


def test_an_input_with_a_name_that_is_too_long(upscale: Upscale) -> None:
    result = upscale("n" * 300, "-o", "out/")
    assert "does not exist" in result.stdout
