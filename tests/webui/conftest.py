"""Where the WebUI for these tests comes from; without one they are skipped, in words.

SD_WEBUI_DIR     the folder of an installed WebUI (AUTOMATIC1111's, Forge, reForge)
SD_WEBUI_PYTHON  the Python of its environment
SD_WEBUI_NAME    optional: what the host is called in the table of hosts, else the name of its folder
SD_WEBUI_DATA    optional: a data folder with a checkpoint in models/Stable-diffusion, for the tests that draw pictures
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.webui.models import place_models
from tests.webui.server import WebUI


def real_webui() -> tuple[Path, Path]:
    """The WebUI's folder and Python, or a skip that says what is missing."""
    code, python = os.environ.get("SD_WEBUI_DIR"), os.environ.get("SD_WEBUI_PYTHON")
    if not code or not python:
        pytest.skip("no real WebUI: set SD_WEBUI_DIR and SD_WEBUI_PYTHON")
    if not (Path(code) / "launch.py").is_file() or not Path(python).exists():
        pytest.skip(f"no real WebUI at {code} with {python}")
    return Path(code).resolve(), Path(python).absolute()


def given_data() -> Path:
    """The data folder with checkpoints, or a skip that says what is missing."""
    given = os.environ.get("SD_WEBUI_DATA")
    if not given:
        pytest.skip("no checkpoint: set SD_WEBUI_DATA to a data folder that has one")
    return Path(given).resolve()


_PACKAGES = "import importlib.metadata as m, platform; print('Python', platform.python_version()); " + (
    "[print(n, m.version(n)) for n in ('torch', 'gradio', 'spandrel', 'pillow', 'numpy', 'pydantic')]"
)


@pytest.fixture(scope="session", autouse=True)
def noted_host(record_testsuite_property: Callable[[str, object], None]) -> None:
    """Which host the run was in, for the table that host_table.py makes of the report."""
    code, python = os.environ.get("SD_WEBUI_DIR"), os.environ.get("SD_WEBUI_PYTHON")
    if not code or not python:
        return
    commit = ["git", "-C", code, "log", "-1", "--format=%h of %cs"]
    packages = subprocess.run([python, "-c", _PACKAGES], capture_output=True, text=True, check=False).stdout
    record_testsuite_property("host", os.environ.get("SD_WEBUI_NAME", Path(code).name))
    record_testsuite_property(
        "commit", subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    )
    for line in packages.splitlines():
        name, _, version = line.partition(" ")
        record_testsuite_property(name, version)


@pytest.fixture(scope="session")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A running WebUI with this extension and a few models that are told apart by scale."""
    code, python = real_webui()
    given = os.environ.get("SD_WEBUI_DATA")
    data = tmp_path_factory.mktemp("webui")
    place_models(data / "models")
    server = WebUI(code, python, data, Path(given).resolve() if given else None)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        (data / "extensions" / "upscale-plus").unlink(missing_ok=True)
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def checkpoint(webui: WebUI) -> None:
    """Skips a test that draws pictures where there is nothing to draw with."""
    if not webui.has_checkpoint:
        pytest.skip("no checkpoint: set SD_WEBUI_DATA to a data folder that has one")
