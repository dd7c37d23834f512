"""Run everything that must pass before a change lands: style, types, import contracts, tests.

python tests/all.py [--without-tools] [arguments for pytest]

`--without-tools` runs the tests alone, for an environment that has no room for the tools: the WebUI's pins.

The tests run on as many processors as there are, up to four, where pytest-xdist is installed. Those marked `webui`
share one WebUI: where there is one, they run one after another when the others are done.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
MOST_WORKERS = 4
"""Each holds torch and the networks of its tests, over 1 GB."""
NO_TESTS = 5
"""pytest's exit code where a marker leaves none."""


def main(arguments: list[str]) -> int:
    """Run the tools, then pytest; 0 where all of them pass."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--without-tools", action="store_true")
    parser.add_argument("-m", dest="marks", default="")
    own, others = parser.parse_known_args(arguments)
    failed = [" ".join(check) for check in CHECKS if not own.without_tools and not _passes(*check)]
    tests = _run_tests(own.marks, others)
    if failed:
        sys.stdout.write(f"--- failed: {', '.join(failed)}\n")
    return tests or bool(failed)


def _run_tests(marks: str, arguments: list[str]) -> int:
    """Run those of the tests that have the marks; pytest's exit code."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(MOST_WORKERS, processors)
    parallel = ["-n", str(workers), "--dist", "worksteal"] if workers > 1 and find_spec("xdist") else []
    if not parallel:
        return _pytest(_marked(marks), arguments)
    # The workers' own threads would wait for each other's.
    threads = {"OMP_NUM_THREADS": str(processors // workers), **os.environ}
    if not os.environ.get("SD_WEBUI_DIR") or not os.environ.get("SD_WEBUI_PYTHON"):
        return _pytest([*parallel, *_marked(marks)], arguments, threads)
    codes = (
        _pytest([*parallel, *_marked(marks, "not webui")], arguments, threads),
        _pytest(_marked(marks, "webui"), arguments),
    )
    return next((code for code in codes if code not in (0, NO_TESTS)), min(codes))


def _marked(*marks: str) -> list[str]:
    expression = " and ".join(f"({mark})" for mark in marks if mark)
    return ["-m", expression] if expression else []


def _pytest(options: list[str], arguments: list[str], environment: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode


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
