"""Run everything that must pass before a change lands: style, types, import contracts, tests.

python tests/all.py [--without-tools] [arguments for pytest]

`--without-tools` runs the tests alone, for an environment that has no room for the tools: the WebUI's pins.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)


def main(arguments: list[str]) -> int:
    """Run the tools, then pytest; 0 where all of them pass."""
    with_tools = "--without-tools" not in arguments
    failed = [" ".join(check) for check in CHECKS if with_tools and not _passes(*check)]
    pytest_arguments = [argument for argument in arguments if argument != "--without-tools"]
    command = [sys.executable, "-m", "pytest", *pytest_arguments]
    tests = subprocess.run(command, cwd=ROOT, check=False).returncode
    if failed:
        sys.stdout.write(f"--- failed: {', '.join(failed)}\n")
    return tests or bool(failed)


def _passes(name: str, *arguments: str) -> bool:
    """Run one tool. A missing tool counts as a failed one."""
    tool = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if tool is None:
        sys.stdout.write(f'--- {name}: not installed; run pip install -e ".[dev,test]", or give --without-tools\n')
        return False
    sys.stdout.write(f"--- {' '.join((name, *arguments))}\n")
    sys.stdout.flush()
    return subprocess.run([tool, *arguments], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
