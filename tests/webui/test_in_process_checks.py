"""The adapters inside a host: in the stand-in for its modules, and in the real WebUI, by the same functions."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.webui.conftest import real_webui
from tests.webui.models import place_models

HERE = Path(__file__).parent
CHECKS = sorted(
    node.name
    for file in HERE.glob("in_process_*checks.py")
    for node in ast.parse(file.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
)


def pythons() -> list[str]:
    """Pythons that may have gradio: ours, the WebUI's, and those listed in UPSCALE_PLUS_GRADIO_PYTHONS."""
    listed = os.environ.get("UPSCALE_PLUS_GRADIO_PYTHONS", "").split(os.pathsep)
    return list(
        dict.fromkeys(python for python in (sys.executable, os.environ.get("SD_WEBUI_PYTHON"), *listed) if python)
    )


def hosts() -> list[Any]:
    return [*(f"emulation with {python}" for python in pythons()), pytest.param("real", marks=pytest.mark.webui)]


@pytest.fixture(scope="module", params=hosts())
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str | None]]:
    """Check -> its problem and what the host lacks for it, in one host."""
    if request.param == "real":
        code, python = real_webui()
        host = str(code)
    else:
        host, python = "emulation", Path(request.param.removeprefix("emulation with "))
        if subprocess.run([str(python), "-c", "import gradio, spandrel"], capture_output=True, check=False).returncode:
            pytest.skip(f"no gradio in {python}: the controls can't be built there")
    data = tmp_path_factory.mktemp("inside")
    place_models(data / "models")
    (data / "extensions").mkdir()
    (data / "extensions" / "upscale-plus").symlink_to(HERE.parents[1], target_is_directory=True)
    offline = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "CUDA_VISIBLE_DEVICES": ""}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), str(HERE / "run_in_host.py"), host, str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, **offline},
        timeout=600,
    )
    shutil.rmtree(data, ignore_errors=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("check", CHECKS)
def test_inside(results: dict[str, dict[str, str | None]], check: str) -> None:
    assert check in results, "it did not run"
    result = results[check]
    assert result["problem"] is None, result["problem"]
    if result["lacks"]:
        pytest.skip(f"this WebUI has {result['lacks']}")
