"""Runs the checks inside a process of a host: `python run_in_host.py emulation|WEBUI_DIR DATA_DIR`.

Prints one JSON object a line: {"name": ..., "problem": null or a traceback, "lacks": what the host has not}.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FLAGS = [
    "--api",
    "--skip-prepare-environment",
    "--skip-torch-cuda-test",
    "--skip-python-version-check",
    "--no-half",
    "--do-not-download-clip",
    "--use-cpu",
    "all",
    "--always-cpu",
    "--no-download-sd-model",
    "--skip-load-model-at-start",
    "--skip-version-check",
]


def main(host: str, data: Path) -> None:
    """Start the host as far as its page, then run every check."""
    code = ROOT / "tests" / "webui" / "emulation" if host == "emulation" else Path(host)
    os.environ["IGNORE_CMD_ARGS_ERRORS"] = "1"
    sys.argv = ["webui.py", "--data-dir", str(data), *FLAGS]
    sys.path[0] = str(code)
    if host != "emulation":
        os.chdir(code)
    from modules import shared_cmd_options  # noqa: F401, I001 (extensions are preloaded before anything else)
    from modules import initialize

    if Path("modules_forge").is_dir():
        # Where the Forge family looks for packages that it brings along. Neo's version notes its time.
        from modules import timer
        from modules_forge.initialization import initialize_forge

        initialize_forge(*[timer.startup_timer][: len(inspect.signature(initialize_forge).parameters)])
    initialize.imports()
    initialize.initialize()
    from modules import script_callbacks, ui

    script_callbacks.before_ui_callback()
    ui.create_ui()
    sys.path.append(str(ROOT))
    from tests.webui import (
        in_process_checks,
        in_process_host_checks,
        in_process_page_checks,
        in_process_plan_checks,
    )

    modules = (in_process_checks, in_process_host_checks, in_process_page_checks, in_process_plan_checks)
    checks = {name: check for module in modules for name, check in vars(module).items()}
    for name in sorted(name for name in checks if name.startswith("check_")):
        line = json.dumps({"name": name, **run(checks[name], data)})
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()
    os._exit(0)  # threads of the host would keep the process


def run(check: object, data: Path) -> dict[str, str | None]:
    """What one check met: nothing, a problem, or something that this host lacks."""
    try:
        check(data)  # type: ignore[operator]
    except unittest.SkipTest as lacking:
        return {"problem": None, "lacks": str(lacking)}
    except BaseException:
        return {"problem": traceback.format_exc(), "lacks": None}
    return {"problem": None, "lacks": None}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
