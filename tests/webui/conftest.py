"""Where the WebUI for these tests comes from; without one they are skipped, in words.

SD_WEBUI_DIR     the folder of an installed WebUI (AUTOMATIC1111's, Forge, reForge)
SD_WEBUI_PYTHON  the Python of its environment
SD_WEBUI_DATA    optional: a data folder with a checkpoint in models/Stable-diffusion, for the tests that draw pictures
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
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
