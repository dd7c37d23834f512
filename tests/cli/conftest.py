"""A cache of its own for every test, and a model that is computed in no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Upscale
from tests.helpers import compact, write


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path_factory.mktemp(variable)))
    monkeypatch.delenv("UPSCALE_PLUS_MODELS", raising=False)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tiny real network that doubles the sides."""
    return write(tmp_path_factory.mktemp("models") / "2x-Tiny.safetensors", compact(2))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def upscale(model: Path, here: Path) -> Upscale:
    return Upscale(model)
