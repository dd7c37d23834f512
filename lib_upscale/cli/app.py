"""What all commands share: errors in plain words, exit codes, names that any terminal can show."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from lib_upscale.errors import CancelledError, UpscalePlusError

__all__ = ["INTERRUPTED", "Command", "FolderList", "models_dir", "say", "shown"]

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended: 128 and the signal's number."""


class Command(click.Command):
    """A command whose every failure is one sentence on standard error; with `--debug`, a traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        debug.callback = _remember_debug
        self.params.append(debug)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise nothing but click's own exceptions, unless `--debug` is given."""
        _let_any_name_be_shown()
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
            raise click.ClickException(shown(str(error))) from error
        except Exception as error:
            if debugging():
                raise
            raise click.ClickException(
                f"Something unforeseen went wrong ({type(error).__name__}: {shown(str(error))}): "
                "run it again with --debug and report what it says"
            ) from error


def debugging() -> bool:
    """Whether the command that runs was given `--debug`."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("upscale-plus.debug"))


def say(text: str) -> None:
    """A line on standard error, where it can't get into a program's output."""
    click.echo(shown(text), err=True)


def shown(name: str | os.PathLike[str]) -> str:
    """A name that can be printed: bytes that are no text in the file system's encoding are replaced."""
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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


def _let_any_name_be_shown() -> None:
    """A terminal or pipe that can't encode a letter gets a replacement, not an error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
