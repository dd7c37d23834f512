"""Unfinished redraws on disk: where they are, and finding the one that goes on."""

from __future__ import annotations

from pathlib import Path

from lib_upscale.redrawing import JobKey, Journal, find_unfinished
from lib_upscale.webui.host import console, environment, jobs
from lib_upscale.webui.host.protocols import HostImg2Img

__all__ = ["count_unfinished", "journal_root", "open_journal", "wants_random_seed"]

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


def open_journal(p: HostImg2Img, key: JobKey, *, resume: bool, any_seed: bool) -> tuple[JobKey, Journal]:
    """Open the journal of an image.

    Args:
        p: The host's parameters, about to be sampled.
        key: The image's key.
        resume: Whether finished tiles are used; otherwise they are removed.
        any_seed: The seed is random, so that of an unfinished image with the same settings may take its place, in
            `p` too.

    Returns:
        The key, with the seed that is used, and its journal.
    """
    if any_seed and resume and p.iteration == 0:
        candidates = find_unfinished(journal_root(), key.base)
        if candidates:
            key = candidates[0].key
            _set_seed(p, key.seed)
    journal = Journal(journal_root(), key)
    if not resume:
        journal.discard()
    elif count := len(journal):
        console.say(f"resuming with seed {key.seed}: {count} tiles are finished already")
    return key, journal


def wants_random_seed(p: HostImg2Img) -> bool:
    """Whether any seed will do. A batch of images has drawn one by now; then the page's own control still says so."""
    if p.seed in _RANDOM:
        return True
    arguments = p.script_args_value or ()
    scripts = p.scripts_value.alwayson_scripts if p.scripts_value is not None else ()
    control = next((script.args_from for script in scripts if type(script).__name__ == "ScriptSeed"), None)
    return control is not None and not p.is_api and control < len(arguments) and arguments[control] in _RANDOM


def _set_seed(p: HostImg2Img, seed: int) -> None:
    step = 1 if p.subseed_strength == 0 else 0
    p.all_seeds = [seed + step * number for number in range(len(p.all_seeds))]
    p.seeds = p.all_seeds[p.iteration : p.iteration + 1]
    jobs.write_params(p)
