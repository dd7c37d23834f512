# ruff: noqa: PTH118, PTH208
# pathlib is not loaded yet where this runs, and loading it costs more than all the rest.
"""The extension's own folder for packages: which there must be, and whether the host's are new enough.

`install.py` and `preload.py` load this file by its path, long before the package can be imported. It imports nothing
but what Python has loaded at its start, so that a launch with nothing to do costs no time.
"""

from __future__ import annotations

import os
import sys

__all__ = ["WANTED", "folder", "host_is_new_enough", "is_complete", "put_first", "version_in"]

WANTED = {"spandrel": "0.4.2", "spandrel_extra_arches": "0.2.0"}
"""Package -> version in the private folder. Neither needs anything that a WebUI does not have."""


def folder(root: str) -> str:
    """Where the packages lie in the extension at `root`."""
    return os.path.join(root, "private", "site-packages")


def version_in(place: str, package: str) -> tuple[int, ...] | None:
    """The version of a package in the folder `place`, read from the name of its notes; None if it is not there."""
    try:
        names = os.listdir(place or os.curdir)
    except OSError:
        return None
    for name in names:
        stem, _, version = name.removesuffix(".dist-info").partition("-")
        if name.endswith(".dist-info") and stem.lower().replace(".", "_") == package:
            return _numbers(version)
    return None


def host_is_new_enough(places: list[str]) -> bool:
    """Whether Python would import a spandrel from `places` that is at least as new as ours."""
    for place in places:
        found = version_in(place, "spandrel")
        if found is not None:
            return found >= _numbers(WANTED["spandrel"])
    return False


def is_complete(place: str) -> bool:
    """Whether all wanted packages lie in `place`, in the wanted versions."""
    return all(version_in(place, package) == _numbers(version) for package, version in WANTED.items())


def put_first(root: str) -> bool:
    """Have Python look into the private folder first, where that helps; whether it does now.

    Too late, and left alone, once somebody has imported spandrel: two versions of one package do not mix.
    """
    place = folder(root)
    if place in sys.path:
        return True
    if "spandrel" in sys.modules or not is_complete(place) or host_is_new_enough(sys.path):
        return False
    sys.path.insert(0, place)
    return True


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(letter for letter in part if letter.isdigit()) or 0) for part in parts)
