"""Choices given as plain strings, as people write them in Python."""

from __future__ import annotations

from enum import Enum

import pytest

from lib_upscale.errors import SettingsError
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.settings.upscale import UpscaleSettings

_CHOICES = [
    (cls, name, item.choices)
    for cls in (UpscaleSettings, RedrawSettings)
    for name, item in options(cls).items()
    if item.choices is not None
]


@pytest.mark.parametrize(("cls", "name", "choices"), _CHOICES)
def test_a_plain_string_is_the_member(cls: type[Settings], name: str, choices: type[Enum]) -> None:
    for member in choices:
        settings = cls(**{name: member.value})
        assert getattr(settings, name) is member
        assert settings == cls(**{name: member})
    with pytest.raises(SettingsError):
        cls(**{name: "no such thing"})
    with pytest.raises(SettingsError):
        cls().changed(**{name: 17})
