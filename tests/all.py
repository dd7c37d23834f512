"""Everything that must pass before a change lands: style, types, the direction of imports, tests.

python tests/all.py [arguments for pytest]
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


def main() -> int:
    failed = []
    for name, *arguments in CHECKS:
        tool = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
        if tool is None:
            # The WebUI's pins leave no room for these; there only the tests run.
            sys.stdout.write(f"--- {name}: not installed here, left out\n")
            continue
        sys.stdout.write(f"--- {' '.join((name, *arguments))}\n")
        sys.stdout.flush()
        if subprocess.run([tool, *arguments], cwd=ROOT, check=False).returncode:
            failed.append(name)
    sys.stdout.flush()
    tests = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=ROOT, check=False).returncode
    if failed:
        sys.stdout.write(f"--- failed: {', '.join(failed)}\n")
    return tests or bool(failed)


if __name__ == "__main__":
    sys.exit(main())
