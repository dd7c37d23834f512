"""Messages: in the console, where the host's own are, and as a notice on the page."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["report", "say", "warn"]

_NAME = "Upscale Plus"


def say(text: str) -> None:
    """Print a line in the console, with question marks for what its encoding lacks."""
    stream = sys.stdout
    line = f"{_NAME}: {text}"
    try:
        print(line, file=stream, flush=True)
    except UnicodeEncodeError:  # a console, or a pipe on Windows, that is not UTF-8
        encoding = stream.encoding or "ascii"
        print(line.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


def report(text: str) -> None:
    """Print a line in the console and, within an exception's handler, its traceback."""
    from modules import errors

    errors.report(f"{_NAME}: {text}", exc_info=sys.exc_info()[0] is not None)


def warn(text: str) -> None:
    """Show a notice on the page of whoever started the job, if the job was started from a page."""
    import gradio

    with contextlib.suppress(Exception):  # outside an event of a page there is nobody to show it to
        gradio.Warning(text)
