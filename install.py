# ruff: noqa: PTH100, PTH103, PTH105, PTH118, PTH120
# pathlib is not loaded yet where this runs, and loading it costs more than all the rest.
"""Installs spandrel 0.4.2 and resselt 1.4.1 for this extension alone; run by the WebUI at every launch.

The host compares its own packages with pinned versions at every launch, so nothing of the host is touched: the
packages go into folders of the extension. Nothing is done where they are installed, or the host's spandrel is as new.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

ROOT = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True


def load_private() -> ModuleType:
    """Load the module `lib_upscale/webui/private.py` without importing the package around it."""
    from importlib.machinery import SourceFileLoader

    module = ModuleType("upscale_plus_private")
    SourceFileLoader(module.__name__, os.path.join(ROOT, "lib_upscale", "webui", "private.py")).exec_module(module)
    return module


def main() -> None:
    """Install what is missing; print one line if something was done or could not be done."""
    private = load_private()
    folder, added = private.packages_folder(ROOT), private.added_folder(ROOT)
    # The first entry is this file's folder, not a place where Python found packages of the host.
    if not private.is_complete(folder, private.REQUIRED) and not private.host_is_new_enough(sys.path[1:]):
        lack = "the WebUI's own, which knows fewer architectures, is used"
        if not report("spandrel", folder, private.REQUIRED, lack):
            return
    if not private.is_complete(added, private.ADDED):
        report("resselt", added, private.ADDED, "models of the architectures that it brings can't be used")


def report(name: str, folder: str, packages: dict[str, str], lack: str) -> bool:
    """Install packages, say so in one line, and return whether it worked.

    Args:
        name: The package that the line is about.
        folder: Where they go.
        packages: Package -> version.
        lack: What the user does without, if it does not work.
    """
    problem = install(folder, [f"{package.replace('_', '-')}=={version}" for package, version in packages.items()])
    if problem:
        print(
            f"Upscale Plus: {name} {packages[name]} could not be installed ({problem}); {lack}; "
            "the next launch tries again"
        )
    else:
        print(f"Upscale Plus: {name} {packages[name]} installed into the extension's own folder")
    return not problem


def install(folder: str, requirements: list[str]) -> str:
    """Install packages into a folder, all or none; return what went wrong, or ""."""
    import shutil
    import tempfile

    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder), prefix="new-") as new:
            target = os.path.join(new, "site-packages")
            wanted = ["--no-deps", "--target", target, *requirements]
            pip = ["--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
            failed, output = run([sys.executable, "-m", "pip", "install", *pip, *wanted])
            if failed and "No module named pip" in output:
                uv = shutil.which("uv")  # which makes environments without pip
                if uv is None:
                    return "this Python has no pip, and uv was not found"
                failed, output = run([uv, "pip", "install", "--python", sys.executable, *wanted])
            if failed:
                return reason(output)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(target, folder)
    except OSError as error:
        return str(error)
    return ""


def run(command: list[str]) -> tuple[bool, str]:
    """Run an installer; return whether it failed, and what it said."""
    import subprocess

    # A module in the host's folder might shadow one that pip imports.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment.update(UV_HTTP_TIMEOUT="15", UV_HTTP_RETRIES="1")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    return bool(done.returncode), done.stderr or done.stdout


def reason(output: str) -> str:
    """Return the most informative line of what pip or uv printed."""
    unreachable = ("NewConnectionError", "Name or service", "getaddrinfo", "ConnectTimeout", "Failed to fetch")
    if any(mark in output for mark in unreachable):
        return "no network"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line[len("error:") :].strip() for line in lines if line.lower().startswith("error:")]
    return (errors or lines or ["the installer said nothing"])[-1]


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # an extension's installer must not get in the way of the WebUI
        print(f"Upscale Plus: nothing was installed ({error})")
