"""What all commands share: error messages, exit codes, and printing names on any terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from lib_upscale.errors import CancelledError, UpscalePlusError

__all__ = ["INTERRUPTED", "Command", "FolderList", "models_dir", "printable", "say"]

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 plus the number of the signal."""


class Command(click.Command):
    """A command whose every failure is one sentence on standard error; with `--debug`, a traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        debug.callback = _remember_debug
        self.params.append(debug)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise nothing but click's own exceptions, unless `--debug` is given."""
        _replace_unprintable()
        try:
            with warnings.catch_warnings():
                if not debugging():  # warnings of libraries are for programmers
                    warnings.simplefilter("ignore")
                return super().invoke(ctx)
        except (KeyboardInterrupt, CancelledError):
            say("Interrupted")
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except UpscalePlusError as error:
            if debugging():
                raise
            raise click.ClickException(printable(str(error))) from error
        except Exception as error:
            if debugging():
                raise
            raise click.ClickException(
                f"An unexpected error occurred ({type(error).__name__}: {printable(str(error))}): "
                "run it again with --debug and report the traceback"
            ) from error


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def debugging() -> bool:
    """Whether the command that runs was given `--debug`."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("upscale-plus.debug"))


def say(text: str) -> None:
    """Print a line on standard error, apart from what a program may read."""
    click.echo(printable(text), err=True)


def printable(name: str | os.PathLike[str]) -> str:
    """A name on one line: what is not text in the file system's encoding is replaced, line breaks and codes escaped."""
    text = os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


FolderList = tuple[Path, ...]

models_dir = click.option(
    "--models-dir",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder of models, with all below it. May be given several times. Without it: the folders listed in "
    "UPSCALE_PLUS_MODELS, else your own models folder.",
)


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["upscale-plus.debug"] = value


def _replace_unprintable() -> None:
    """Print a replacement for letters that a terminal or pipe can't encode, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
