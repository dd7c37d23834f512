"""`identify` and `models`: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import environment, run, start

KEYS = [
    "path",
    "kind",
    "architecture",
    "scale",
    "input_channels",
    "output_channels",
    "purpose",
    "tags",
    "tiling",
    "size_requirements",
    "supports_half",
    "supports_bfloat16",
    "problem",
    "advice",
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A web page saved under a model's name."""
    path = tmp_path / "4x-Wanted.pth"
    path.write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    return path


def records(text: str) -> list[dict[str, Any]]:
    """The lines of standard output, every one of which must be an object with exactly the keys that are promised."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(list(record) == KEYS for record in found)
    return found


class TestIdentify:
    def test_an_upscaler_and_something_else(self, model: Path, page: Path) -> None:
        result = run("identify", page, model, "--json")
        assert result.exit_code == 0
        other, upscaler = records(result.stdout)
        assert upscaler == {
            "path": str(model),
            "kind": "upscaler",
            "architecture": "Compact",
            "scale": 2,
            "input_channels": 3,
            "output_channels": 3,
            "purpose": "SR",
            "tags": ["8nf", "2nc"],
            "tiling": "supported",
            "size_requirements": {"minimum": 0, "multiple_of": 1, "square": False},
            "supports_half": True,
            "supports_bfloat16": True,
            "problem": None,
            "advice": None,
        }
        assert other["kind"] == "damaged"
        assert other["problem"]
        assert other["advice"]
        assert [other[key] for key in KEYS[3:12]] == [None] * 9

    def test_the_path_is_given_back_as_it_came(self, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(page.parent)
        given = f"../{page.parent.name}/./{page.name}"
        assert records(run("identify", given, "--json").stdout)[0]["path"] == given

    def test_what_cannot_be_read_ends_with_1_and_leaves_the_others_alone(self, model: Path, tmp_path: Path) -> None:
        result = run("identify", tmp_path / "gone.pth", model, tmp_path, "--json")
        assert result.exit_code == 1
        assert [record["kind"] for record in records(result.stdout)] == ["unknown", "upscaler", "unknown"]
        assert "gone.pth does not exist" in result.stderr

    def test_in_words(self, model: Path, page: Path) -> None:
        lines = run("identify", model, page).stdout.splitlines()
        assert lines[0] == "2x-Tiny.safetensors: 2x upscaler, RealESRGAN Compact (RGB, 8nf, 2nc)"
        assert lines[1].startswith("4x-Wanted.pth is a web page saved under a model's name: ")

    @pytest.mark.skipif(sys.platform != "linux", reason="only there may a name be no text at all")
    def test_any_name_can_be_shown(self, tmp_path: Path) -> None:
        name = b"\xff \xe5\x86\x99 \xf0\x9f\x99\x82.pth"
        path = Path(bytes(tmp_path).decode() + "/" + name.decode("utf-8", "surrogateescape"))
        path.write_bytes(b"")
        result = run("identify", path, "--json")
        assert result.exit_code == 0
        assert records(result.stdout)[0]["path"] == str(path)
        assert "写 🙂.pth is empty" in run("identify", path).stdout

    @pytest.mark.slow
    def test_nothing_but_json_comes_out_of_the_real_program(self, model: Path, page: Path, tmp_path: Path) -> None:
        program = start("identify", "--json", model, page, tmp_path / "gone")
        out, err = program.communicate(timeout=120)
        assert program.returncode == 1, err
        assert [record["kind"] for record in records(out)] == ["upscaler", "damaged", "unknown"]
        assert "Traceback" not in err


class TestModels:
    def test_lists_what_is_there_and_what_is_wrong(self, model: Path, page: Path) -> None:
        result = run("models", "--models-dir", model.parent, "--models-dir", page.parent)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert any(line.split("  ")[0] == "2x-Tiny" and "2x upscaler, RealESRGAN Compact" in line for line in lines)
        assert any(line.startswith("not usable: 4x-Wanted.pth is a web page") for line in lines)

    def test_as_json(self, model: Path, page: Path) -> None:
        result = run("models", "--json", "--models-dir", model.parent, "--models-dir", page.parent)
        kinds = {record["path"]: record["kind"] for record in records(result.stdout)}
        assert kinds[str(model)] == "upscaler"
        assert kinds[str(page)] == "damaged"

    def test_folders_come_from_the_environment_too(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UPSCALE_PLUS_MODELS", str(model.parent))
        assert "2x-Tiny" in run("models").stdout

    def test_a_folder_that_is_missing_is_said(self, model: Path, tmp_path: Path) -> None:
        result = run("models", "--models-dir", tmp_path / "nowhere", "--models-dir", model.parent)
        assert result.exit_code == 0
        assert "nowhere" in result.stderr
        assert "2x-Tiny" in result.stdout


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from lib_upscale.cli import main\n"
        "try: main(['upscale', '--help'])\n"
        "finally: print('torch' in sys.modules, 'spandrel' in sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["False", "False"]
    assert "How many times larger each side becomes" in done.stdout
