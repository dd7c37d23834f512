"""Unfinished redraws on disk: where they are, and finding the one that goes on."""

from __future__ import annotations

from pathlib import Path

from lib_upscale.redrawing import JobKey, Journal, find_unfinished
from lib_upscale.webui.host import console, environment
from lib_upscale.webui.host.protocols import HostImg2Img

__all__ = ["count_unfinished", "how_to_continue", "journal_root", "open_journal", "wants_random_seed"]

_RANDOM = (-1, None, "", "-1")
"""Values of a seed that the host is to draw."""


def journal_root() -> Path:
    """Return the folder of unfinished redraws."""
    return environment.data_path() / "upscale-plus" / "unfinished"


def count_unfinished() -> int:
    """Return how many redraws can be resumed."""
    try:
        return sum(1 for folder in journal_root().iterdir() if any(folder.glob("*.tile")))
    except OSError:
        return 0


def open_journal(p: HostImg2Img, key: JobKey, *, resume: bool, random_seed: bool) -> Journal:
    """Open the journal of an image, and say below it what else could be resumed.

    A seed that the host has drawn is kept: an unfinished image of another seed goes on only where that is asked for.

    Args:
        p: The host's parameters, about to be sampled.
        key: The image's key.
        resume: Whether finished tiles are used; otherwise they are removed.
        random_seed: The host has drawn the seed.
    """
    if random_seed and resume and p.iteration == 0:
        for job in find_unfinished(journal_root(), key.base)[:1]:
            p.comment(f"An unfinished image like this one has the seed {job.key.seed}: generate with it to continue.")
    journal = Journal(journal_root(), key)
    if not resume:
        journal.discard()
    elif count := len(journal):
        console.say(f"resuming with seed {key.seed}: {count} tiles are finished already")
    return journal


def how_to_continue(seed: int, *, random_seed: bool) -> str:
    """Say how an image that was stopped is continued, in a sentence."""
    if not random_seed:
        return "Generate again to continue."
    return f"To continue, generate again with the seed {seed}."


def wants_random_seed(p: HostImg2Img) -> bool:
    """Whether the host draws the seed. For a batch of images it has by now; the page's own control still says so."""
    if p.seed in _RANDOM:
        return True
    arguments = p.script_args_value or ()
    scripts = p.scripts_value.alwayson_scripts if p.scripts_value is not None else ()
    control = next((script.args_from for script in scripts if type(script).__name__ == "ScriptSeed"), None)
    return control is not None and not p.is_api and control < len(arguments) and arguments[control] in _RANDOM
