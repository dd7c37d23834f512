"""The start of a real WebUI: whatever the extension's folder is called, after an update, and with a broken one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webui.conftest import real_webui
from tests.webui.models import NEAREST, place_models
from tests.webui.server import ROOT, WebUI
from tests.webui.test_upscalers import SCALES, ids_of

pytestmark = pytest.mark.webui

FOLDER = "my upscaler (copy)-main"


@pytest.fixture(scope="module")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI of its own, with a copy of the extension that may be changed, in a folder of another name."""
    code, python = real_webui()
    data = tmp_path_factory.mktemp("start")
    place_models(data / "models")
    folder = data / "extensions" / FOLDER
    folder.mkdir(parents=True)
    for name in ("install.py", "preload.py", "metadata.ini", "style.css"):
        shutil.copy(ROOT / name, folder)
    for name in ("lib_upscale", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "private").mkdir()
    for name in ("site-packages", "added-packages"):
        if (ROOT / "private" / name).is_dir():
            (folder / "private" / name).symlink_to(ROOT / "private" / name)
    server = WebUI(code, python, data, None, extension=folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(data, ignore_errors=True)


def changed(webui: WebUI, file: str, old: str, new: str) -> None:
    path = Path(webui.data) / "extensions" / FOLDER / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_folder_may_be_called_anything(webui: WebUI) -> None:
    found = webui.upscalers()
    assert {name: found[name]["scale"] for name in SCALES} == SCALES
    assert "upscale_plus_extras_model" in ids_of(webui)
    assert webui.call("/upscale-plus/v1/models")[0] == 200


def test_an_update_takes_effect_at_reload(webui: WebUI) -> None:
    """The host reads scripts again and packages not: the new scripts must not meet the old package."""
    changed(webui, "lib_upscale/webui/callbacks/upscale_plus.py", "def build_accordion(", "def new_accordion(")
    changed(webui, "scripts/postprocessing_upscale_plus.py", "callbacks.build_accordion(", "callbacks.new_accordion(")
    webui.reload()
    assert "upscale_plus_extras_model" in ids_of(webui)
    assert webui.upscalers()[NEAREST]["scale"] == 2


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("lib_upscale/webui/ui/upscale_controls.py", "from __future__ import annotations"),
        ("lib_upscale/webui/private.py", "from __future__ import annotations"),
        ("lib_upscale/webui/upscalers/model_list.py", "        assert catalog is not None"),
        ("lib_upscale/webui/extras/accordion.py", "        self._controls = controls"),
    ],
)
def test_a_failure_does_not_stop_the_webui_from_starting(webui: WebUI, file: str, line: str) -> None:
    says = "broken for a test"
    indent = " " * (len(line) - len(line.lstrip()))
    broken = f"{line}\n{indent}raise RuntimeError('{says}')\n"
    changed(webui, file, line, broken)
    mark = len(webui.log())
    try:
        webui.restart()
        assert webui.upscalers()["2x_Nearest"], "the host lists what it finds itself"
        assert "extras_generate" in ids_of(webui)
        assert says in webui.log()[mark:]
    finally:
        changed(webui, file, broken, line)
