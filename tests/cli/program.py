"""The command line run in this process, or in one of its own."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from PIL import Image

from lib_upscale.cli import main

ROOT = Path(__file__).resolve().parents[2]

# Where torch has no matching torchvision, the tests' conftest stands in for it: see there.
_START = "import tests.conftest; from lib_upscale.cli import main; main(prog_name='upscale-plus')"


def run(*arguments: str | Path) -> Result:
    """The command line in this process; `stdout` and `stderr` are kept apart."""
    separate: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**separate).invoke(main, [str(argument) for argument in arguments])


def environment(**more: str) -> dict[str, str]:
    """The environment for a process that imports this checkout."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", **more}


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _START, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def photo(path: Path, width: int = 24, height: int = 16, **save: Any) -> Path:
    """A small picture with some colors, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.linear_gradient("L").resize((width, height))
    Image.merge("RGB", (image, image.rotate(180), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))).save(path, **save)
    return path


class Upscale:
    """The command with the tiny model."""

    def __init__(self, model: Path) -> None:
        self._model = model

    def __call__(self, *arguments: str | Path) -> Result:
        return run("upscale", *arguments, "--model", "2x-tiny", "--models-dir", self._model.parent, "--device", "cpu")


def counts(result: Result) -> dict[str, int]:
    """The figures of the closing table."""
    rows = [line.split() for line in result.stdout.splitlines() if line[:1] != " "]
    return {row[0]: int(row[-1 if row[0] == "not" else 1]) for row in rows}


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
