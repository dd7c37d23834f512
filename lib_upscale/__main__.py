"""`python -m lib_upscale`."""

from __future__ import annotations

import sys


def _run() -> None:
    try:
        from lib_upscale.cli import main

        main(prog_name="python -m lib_upscale")
    except KeyboardInterrupt:  # while Python was still reading the program
        sys.exit(130)


if __name__ == "__main__":
    _run()
