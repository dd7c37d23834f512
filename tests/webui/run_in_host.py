"""Runs the checks inside a process of a host: `python run_in_host.py emulation|WEBUI_DIR DATA_DIR`.

Prints one JSON object a line: {"name": ..., "problem": null or a traceback}.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
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
        line = json.dumps({"name": name, "problem": run(checks[name], data)})
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()
    os._exit(0)  # threads of the host would keep the process


def run(check: object, data: Path) -> str | None:
    """The traceback of one check, or None."""
    try:
        check(data)  # type: ignore[operator]
    except BaseException:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
