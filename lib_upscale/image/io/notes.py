"""What users should know of a file that was read or written all the same: it is logged, in words."""

from __future__ import annotations

import logging
import os
from pathlib import Path

__all__ = ["LACKS_END", "LOGGER", "NOTE", "note"]

LOGGER = "lib_upscale"
"""The logger that hears of them. The command line shows them in its closing table."""
NOTE = "%s: %s"
"""How they are logged: of the file's name and of what there is to know."""


LACKS_END = "lacks its end, but all its pixels are there"


def note(path: str | os.PathLike[str], text: str) -> None:
    """Log `text` about a file."""
    logging.getLogger(LOGGER).warning(NOTE, Path(path).name, text)
