# ruff: noqa: PTH100, PTH103, PTH105, PTH118, PTH120
# pathlib is not loaded yet where this runs, and loading it costs more than all the rest.
"""Brings spandrel 0.4.2 for this extension alone; run by the WebUI at every launch.

The host compares its own spandrel with a pinned version at every launch, so nothing of the host is touched: the
packages go into a folder of the extension. Where they are there already, or the host's are as new, nothing is done.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

ROOT = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True


def private() -> ModuleType:
    """The module `lib_upscale/webui/private.py`, without importing the package around it."""
    from importlib.machinery import SourceFileLoader

    module = ModuleType("upscale_plus_private")
    SourceFileLoader(module.__name__, os.path.join(ROOT, "lib_upscale", "webui", "private.py")).exec_module(module)
    return module


def main() -> None:
    """Install what is missing; print one line if something was done or could not be done."""
    rules = private()
    place = rules.folder(ROOT)
    # The first entry is this file's folder, not a place where Python found packages of the host.
    if rules.is_complete(place) or rules.host_is_new_enough(sys.path[1:]):
        return
    problem = install(place, [f"{package.replace('_', '-')}=={version}" for package, version in rules.WANTED.items()])
    if problem:
        print(
            f"Upscale Plus: spandrel {rules.WANTED['spandrel']} could not be fetched ({problem}); it works with the "
            "WebUI's own, which knows fewer architectures, and tries again at the next launch"
        )
    else:
        print(f"Upscale Plus: spandrel {rules.WANTED['spandrel']} installed into its own folder")


def install(place: str, packages: list[str]) -> str:
    """Put `packages` into the folder `place`, all or none; what went wrong, or ""."""
    import shutil
    import subprocess
    import tempfile

    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(place), prefix="new-") as new:
            target = os.path.join(new, "site-packages")
            options = ["--no-deps", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
            command = [sys.executable, "-m", "pip", "install", *options, "--target", target, *packages]
            # The host's folder on PYTHONPATH would hide nothing from pip, but its name might shadow a module.
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
            if done.returncode:
                return reason(done.stderr or done.stdout)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(target, place)
    except OSError as error:
        return str(error)
    return ""


def reason(output: str) -> str:
    """The line of pip's output that says most."""
    if any(mark in output for mark in ("NewConnectionError", "Name or service", "getaddrinfo", "ConnectTimeout")):
        return "no network"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip said nothing"])[-1]


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # an extension's installer must not get in the way of the WebUI
        print(f"Upscale Plus: nothing was installed ({error})")
