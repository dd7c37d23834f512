"""The commands `identify` and `models`: say what files are, in words or as JSON Lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lib_upscale.cli.app import Command, FolderList, models_dir, printable, say
from lib_upscale.cli.directories import open_catalog
from lib_upscale.cli.output import model_progress
from lib_upscale.errors import FileError
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.models.identity import Identity, Kind, NetworkFacts

__all__ = ["identify", "models"]

_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line and nothing else on standard output."
)


@click.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@_json
def identify(files: tuple[str, ...], as_json: bool) -> None:
    """Say what each FILE is: an upscaler and its architecture and scale, or something else and where it belongs.

    Nothing in a file is executed. Ends with 0 if every file could be read, whatever it is, else with 1.
    """
    read = [_print_identity(file, as_json) for file in files]
    click.get_current_context().exit(0 if all(read) else 1)


@click.command(cls=Command)
@models_dir
@_json
def models(folders: FolderList, as_json: bool) -> None:
    """List the models, and the files in the model folders that can't be used, with the reason."""
    catalog = open_catalog(folders)
    entries = catalog.refresh(model_progress())
    for folder in folders:
        if not folder.is_dir():
            say(f"There is no folder {folder}")
    if as_json:
        for entry in entries:
            click.echo(_as_json(str(entry.path), entry.identity))
        return
    usable = [entry for entry in entries if entry.identity.usable]
    for line in _table(usable):
        click.echo(printable(line))
    for entry in entries:
        if not entry.identity.usable:
            click.echo(printable(f"not usable: {_sentence(entry.path, entry.identity)}"))
    if not entries:
        say("No models in " + ", ".join(str(folder) for folder in catalog.folders))


def _print_identity(file: str, as_json: bool) -> bool:
    """Print what a file is; returns whether it could be read."""
    try:
        identity = _identify(Path(file))
    except FileError as error:
        return _print_unreadable(file, error, as_json)
    click.echo(_as_json(file, identity) if as_json else printable(_sentence(Path(file), identity)))
    return True


def _identify(path: Path) -> Identity:
    # Imported here: it may import torch, which --help does without.
    from lib_upscale.models.identification.identifier import identify as identity_of

    return identity_of(path)


def _print_unreadable(file: str, error: FileError, as_json: bool) -> bool:
    """Print a line for it all the same, so that there is one for each file."""
    problem = error.problem.removeprefix(f"{error.path.name} ")
    identity = Identity(Path(file), Kind.UNKNOWN, problem=problem, advice=error.advice or None)
    if as_json:
        click.echo(_as_json(file, identity))
    say(_sentence(Path(file), identity))
    return False


def _as_json(path: str, identity: Identity) -> str:
    """One line of ASCII, so that no terminal's encoding can spoil it."""
    facts = identity.network
    record = {
        "path": path,
        "kind": identity.kind.value,
        "architecture": identity.architecture,
        **_facts(facts),
        "problem": identity.problem,
        "advice": identity.advice,
    }
    return json.dumps(record)


def _facts(facts: NetworkFacts | None) -> dict[str, Any]:
    names = (
        "scale",
        "input_channels",
        "output_channels",
        "purpose",
        "tags",
        "tiling",
        "size_requirements",
        "supports_half",
        "supports_bfloat16",
    )
    values = {} if facts is None else dataclasses.asdict(facts)
    return {name: values.get(name) for name in names}


def _sentence(path: Path, identity: Identity) -> str:
    """What a file is, as a sentence."""
    if identity.network is not None and identity.usable:
        return f"{path.name}: {_words(identity.network)}"
    parts = [part for part in (identity.problem, identity.advice) if part]
    return f"{path.name} {': '.join(parts) or f'is of the kind {identity.kind.value}'}"


def _words(facts: NetworkFacts) -> str:
    what = {"SR": "upscaler", "Restoration": "restorer"}.get(facts.purpose, facts.purpose)
    channels = {1: "gray", 3: "RGB", 4: "RGBA"}
    takes, gives = (channels.get(count, f"{count} channels") for count in (facts.input_channels, facts.output_channels))
    details = [takes if takes == gives else f"{takes} to {gives}", *facts.tags]
    return f"{facts.scale}x {what}, {facts.architecture_name} ({', '.join(details)})"


def _table(entries: Sequence[Entry]) -> list[str]:
    width = max((len(entry.name) for entry in entries), default=0)
    return [f"{entry.name:<{width}}  {_words(entry.identity.network)}" for entry in entries if entry.identity.network]
