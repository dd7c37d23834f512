"""The command `upscale-plus`."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = "from lib_upscale.__main__ import run; run()"


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_says_its_own_name() -> None:
    assert _run(PROGRAM, "--help").stdout.startswith("Usage: upscale-plus ")


def test_the_command_is_declared() -> None:
    assert 'upscale-plus = "lib_upscale.__main__:run"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_ctrl_c_while_the_program_is_read_shows_no_traceback() -> None:
    interrupt = """
import sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "lib_upscale.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
"""
    done = _run(interrupt + PROGRAM, "--help")
    assert (done.returncode, done.stderr) == (130, "")
