# ruff: noqa: PTH100, PTH118, PTH120
# pathlib is not loaded yet where this runs, and loading it costs more than all the rest.
"""Run by the WebUI before it parses its arguments: chooses which packages are imported, and adds an option."""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser


def preload(parser: ArgumentParser) -> None:
    """Have the extension's own packages found, and add `--hat-models-path`, the one folder that has no option."""
    root = os.path.dirname(os.path.abspath(__file__))
    private = ModuleType("upscale_plus_private")
    SourceFileLoader(private.__name__, os.path.join(root, "lib_upscale", "webui", "private.py")).exec_module(private)
    if private.host_is_known():
        private.put_first(root)
        private.put_last(root)
    if "--hat-models-path" not in parser._option_string_actions:
        parser.add_argument(
            "--hat-models-path", type=str, help="Path to directory with HAT model file(s).", default=None
        )
