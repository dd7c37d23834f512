"""`upscale-plus`, and the same as `python -m lib_upscale`."""

from __future__ import annotations

import sys

__all__ = ["run"]


def run(name: str = "upscale-plus") -> None:
    """Run the command line; Ctrl-C while Python still reads the program ends it as quietly as later."""
    try:
        from lib_upscale.cli import main

        main(prog_name=name)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run("python -m lib_upscale")
