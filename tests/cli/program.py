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
