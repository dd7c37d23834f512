# ruff: noqa: PTH118, PTH120, PTH208
# pathlib is not loaded yet where this runs, and loading it costs more than all the rest.
"""The extension's own folder, `private/`: the packages in it, and whether the host's own are new enough.

There are two folders of packages. One goes before the host's, as it may hold a newer spandrel. The other goes behind
them, whatever spandrel is used: what is in it, no host has.

`install.py` and `preload.py` load this file by its path, long before the package can be imported. It imports nothing
but what Python has loaded at its start, so that a launch with nothing to do costs no time.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

__all__ = [
    "ADDED",
    "REQUIRED",
    "added_folder",
    "cache_folder",
    "host_is_known",
    "host_is_new_enough",
    "installed_version",
    "is_complete",
    "packages_folder",
    "put_first",
    "put_last",
]

REQUIRED = {"spandrel": "0.4.2", "spandrel_extra_arches": "0.2.0"}
"""Package -> version in the folder before the host's. Neither needs anything that a WebUI does not have."""

ADDED = {"resselt": "1.4.1"}
"""Package -> version in the folder behind the host's. It asks for a newer torch than hosts have, and does without."""


def packages_folder(root: str) -> str:
    """Return the folder of the packages in the extension at `root`."""
    return os.path.join(root, "private", "site-packages")


def added_folder(root: str) -> str:
    """Return the folder of the packages that no host has, in the extension at `root`."""
    return os.path.join(root, "private", "added-packages")


def cache_folder() -> str:
    """Return the folder for what can be made again, in the extension that this file is in."""
    webui = os.path.dirname(os.path.realpath(__file__))
    return os.path.join(os.path.dirname(os.path.dirname(webui)), "private", "cache")


def installed_version(folder: str, package: str) -> tuple[int, ...] | None:
    """Return the version of a package in a folder, read from the name of its metadata; None if it is not there."""
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return None
    for name in names:
        stem, _, version = name.removesuffix(".dist-info").partition("-")
        if name.endswith(".dist-info") and stem.lower().replace(".", "_") == package:
            return _parse_version(version)
    return None


def host_is_new_enough(folders: list[str]) -> bool:
    """Whether Python would import a spandrel from `folders` that is at least as new as ours."""
    for folder in folders:
        version = installed_version(folder, "spandrel")
        if version is not None:
            return version >= _parse_version(REQUIRED["spandrel"])
    return False


def host_is_known() -> bool:
    """Whether the host is none that lacks what the extension needs: there nothing of it is changed.

    It has the modules that the extension imports first, or it is not a WebUI.
    """
    return "modules" not in sys.modules or find_spec("modules.rng") is not None


def is_complete(folder: str, packages: dict[str, str]) -> bool:
    """Whether a folder has all these packages in these versions."""
    return all(installed_version(folder, package) == _parse_version(version) for package, version in packages.items())


def put_first(root: str) -> bool:
    """Have Python look into the private folder first, where that helps.

    Args:
        root: The extension's folder.

    Returns:
        Whether Python looks there now. It is too late once anybody has imported spandrel: two versions of one package
        do not mix.
    """
    folder = packages_folder(root)
    if folder in sys.path:
        return True
    if "spandrel" in sys.modules or not is_complete(folder, REQUIRED) or host_is_new_enough(sys.path):
        return False
    sys.path.insert(0, folder)
    return True


def put_last(root: str) -> bool:
    """Have Python look into the folder of added packages where it finds a package nowhere else.

    Args:
        root: The extension's folder.

    Returns:
        Whether Python looks there now.
    """
    folder = added_folder(root)
    if folder not in sys.path and is_complete(folder, ADDED):
        sys.path.append(folder)
    return folder in sys.path


def _parse_version(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(letter for letter in part if letter.isdigit()) or 0) for part in parts)
