"""A person's models, opened in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_upscale.errors import SettingsError
from lib_upscale.models.library import Models
from tests.helpers import compact, write


def test_folders_are_opened_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path / "models" / "net.safetensors", compact(2))
    models = Models.open([str(tmp_path / "models")], "cpu")
    model = models.cache.get(models.find("net").identity)
    model.measured.per_weights.put(radius=3)
    assert model.scale == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["models", "net.safetensors"]


def test_what_was_found_out_is_kept_in_a_folder_if_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "models" / "net.safetensors", compact(2))
    for radius in (None, 3):
        models = Models.open([tmp_path / "models"], "cpu", cache_folder=tmp_path / "cache")
        model = models.cache.get(models.find("net").identity)
        assert model.measured.per_weights.get("radius") == radius
        model.measured.per_weights.put(radius=3)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["identities.json", "notes.json"]


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no device called 'toaster'"):
        Models.open([tmp_path], "toaster")
