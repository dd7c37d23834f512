"""Every field of every settings class passes every door: dict, infotext, command line, controls and API."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.cli.settings_options import settings_from, settings_options
from lib_upscale.errors import SettingsError
from lib_upscale.settings.fields import Kind, Option, options
from lib_upscale.settings.redraw import Page, RedrawSettings
from lib_upscale.settings.target import TargetSettings
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.ui.values import control_value, offered, read_controls, target_values
from tests.settings.samples import TEXTS, all_samples, companions, samples

CLASSES: list[type[TargetSettings]] = [UpscaleSettings, RedrawSettings]
FIELDS = [(settings, name) for settings in CLASSES for name in options(settings)]
words = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)


def values_of(settings: type[TargetSettings], item: Option) -> st.SearchStrategy[Any]:
    if item.is_number:
        numbers: st.SearchStrategy[Any] = (
            st.integers(int(item.minimum or 0), int(item.maximum or 0))
            if item.kind is Kind.WHOLE
            else st.floats(item.minimum, item.maximum)
        )
        return st.none() | numbers if item.automatic else numbers
    if item.kind is Kind.TEXT and item.name not in TEXTS:
        return words
    if item.kind is Kind.LIST:
        return st.lists(words, min_size=1, max_size=3).map(tuple)
    return st.sampled_from(samples(settings, item))


@st.composite
def any_settings(draw: st.DrawFn) -> TargetSettings:
    settings, name = draw(st.sampled_from(FIELDS))
    item = options(settings)[name]
    value = draw(values_of(settings, item))
    try:
        return settings(**{**companions(settings, item), name: value})
    except SettingsError:  # a tile too small to redraw
        return settings()


def through_controls(settings: TargetSettings) -> TargetSettings:
    values = {name: control_value(item, settings) for name, item in options(type(settings)).items()}
    kept = target_values(type(settings), values, settings.target_kind)
    return type(settings).from_dict(read_controls(type(settings), kept))


@given(any_settings())
def test_dict_infotext_and_controls_lose_nothing(settings: TargetSettings) -> None:
    assert type(settings).from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    text = settings.to_infotext("Some Prefix")
    assert all(isinstance(value, str) for value in text.values())
    assert type(settings).from_infotext({**text, "Steps": "20"}, "Some Prefix") == settings
    assert through_controls(settings) == settings


@pytest.mark.parametrize("settings", CLASSES)
def test_every_sample_passes_the_doors(settings: type[TargetSettings]) -> None:
    made = list(all_samples(settings))
    assert {name for one in made for name in one.to_dict()} == set(options(settings))
    for one in made:
        assert settings.from_dict(one.to_dict()) == one
        assert settings.from_infotext(one.to_infotext()) == one
        assert through_controls(one) == one


def test_the_command_line_loses_nothing() -> None:
    results: list[UpscaleSettings] = []

    @click.command()
    @settings_options
    def command(**values: Any) -> None:
        results.append(settings_from(values))

    made = [one for one in all_samples(UpscaleSettings) if isinstance(one, UpscaleSettings)]
    for one in made:
        arguments = []
        for name, value in one.to_dict().items():
            flag = "--" + name.replace("_", "-")
            arguments += [f"{flag}={part}" for part in (value if isinstance(value, list) else [value])]
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 0, (arguments, done.output)
    assert results == made


def test_the_command_line_says_automatic_and_never_its_numbers() -> None:
    @click.command()
    @settings_options
    def command(**values: Any) -> None:
        assert settings_from(values) == UpscaleSettings()

    for word in ("auto", "automatic", "0", "-1"):
        assert CliRunner().invoke(command, [f"--tile={word}"]).exit_code == 0
    assert CliRunner().invoke(command, ["--tile=large"]).exit_code == 2
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "auto|N" in text
    assert "Automatic takes the largest that fits into memory." in text
    assert "-1" not in text


def test_the_api_loses_nothing() -> None:
    pytest.importorskip("pydantic")
    from lib_upscale.webui.api.schema import request_model, request_values

    for settings in CLASSES:
        model = request_model("Request", settings, {})
        for one in all_samples(settings):
            assert settings.from_dict(request_values(model(**one.to_dict()))) == one


def test_pages_offer_every_setting_somewhere() -> None:
    assert {*offered(RedrawSettings, Page.SCRIPT), *offered(RedrawSettings, Page.HIRES)} == set(options(RedrawSettings))


@pytest.mark.parametrize(("settings", "name"), FIELDS)
def test_what_is_known_of_a_field_makes_sense(settings: type[TargetSettings], name: str) -> None:
    item = options(settings)[name]
    assert item.tip.endswith(".")
    assert item.needs in ("", *options(settings))
    if item.slider is not None:
        assert item.minimum is not None
        assert item.maximum is not None
        assert item.minimum <= item.slider[0] < item.slider[1] <= item.maximum
        assert item.step
    if item.is_number:
        assert None not in (item.minimum, item.maximum, item.step)
        assert item.automatic or item.default is not None or item.suggestion is not None
    if item.names_model:
        assert item.kind in (Kind.TEXT, Kind.LIST)
    if item.on_settings_page:
        assert item.automatic or item.kind is Kind.CHOICE


def test_keys_of_infotext_are_unique() -> None:
    for settings in CLASSES:
        keys = [key for item in options(settings).values() for key in item.keys]
        assert len(keys) == len(set(keys))
        assert all(c.isalnum() or c in " -/" for key in keys for c in key)
