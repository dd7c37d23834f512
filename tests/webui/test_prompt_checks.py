"""Prompts of tiles that a host can't give are refused before anything is enlarged."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lib_upscale.errors import SettingsError
from lib_upscale.settings.redraw import PromptSource, RedrawSettings
from lib_upscale.webui.host import model
from lib_upscale.webui.tiled_sampling.prompt_checks import check_prompts


@pytest.mark.parametrize("source", [PromptSource.CAPTION, PromptSource.TAGS])
def test_a_host_without_an_interrogator_says_so(source: PromptSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forge Classic and Neo have neither."""
    monkeypatch.setitem(sys.modules, "modules", SimpleNamespace(shared=SimpleNamespace()))  # type: ignore[misc]
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=f"no interrogator for the prompt source {source.value}"):
        check_prompts(RedrawSettings(prompt_source=source))
    check_prompts(RedrawSettings(prompt_source=PromptSource.TILE, tile_prompt="bricks"))
    shared = SimpleNamespace(interrogator=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "modules", SimpleNamespace(shared=shared))  # type: ignore[misc]
    monkeypatch.setattr(model, "find_spec", lambda name: name)
    check_prompts(RedrawSettings(prompt_source=source))
