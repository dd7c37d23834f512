"""Settings survive the way to infotext, JSON and back; what makes no sense is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import AlphaMode
from lib_upscale.image.target import Anchor, Box, Factor, Fit, LongestSide, Width
from lib_upscale.settings.upscale import Backend, Precision, UpscaleSettings, options

names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12).map(str.strip)
whole = st.integers(1, 5000)
targets = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"scale": st.floats(0.01, 64, allow_nan=False)}),
    st.fixed_dictionaries({"width": whole}),
    st.fixed_dictionaries({"width": whole, "height": whole}),
    st.fixed_dictionaries({"longest": whole}),
    st.fixed_dictionaries({"shortest": whole}),
    st.fixed_dictionaries({"megapixels": st.floats(0.001, 100)}),
)


@st.composite
def any_settings(draw: st.DrawFn) -> UpscaleSettings:
    tile = draw(st.sampled_from([0, 256, 512]))
    return UpscaleSettings(
        **draw(targets),
        model=draw(names),
        fit=draw(st.sampled_from(Fit)),
        anchor=draw(st.sampled_from(Anchor)),
        padding=draw(st.sampled_from(["blur", "#fff", "#102030"])),
        before=tuple(n for n in draw(st.lists(names, max_size=2)) if n),
        after=tuple(n for n in draw(st.lists(names, max_size=2)) if n),
        second_model=draw(names),
        second_weight=draw(st.floats(0, 1)),
        alpha=draw(st.sampled_from(AlphaMode)),
        tile=tile,
        overlap=draw(st.none() | st.integers(0, 200)),
        precision=draw(st.sampled_from(Precision)),
        backend=draw(st.sampled_from(Backend)),
    )


@given(any_settings())
def test_json_and_back(settings: UpscaleSettings) -> None:
    assert UpscaleSettings.from_json(settings.to_json()) == settings


@given(any_settings())
def test_infotext_and_back(settings: UpscaleSettings) -> None:
    text = settings.to_infotext()
    assert all(isinstance(value, str) for value in text.values())
    assert UpscaleSettings.from_infotext({**text, "Steps": "20"}) == settings


def test_infotext_keys_hold_only_what_the_webui_can_read_back() -> None:
    for option in options(UpscaleSettings).values():
        assert all(c.isalnum() or c in " -/" for c in option.label)
        assert option.tip.endswith(".")


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({}, None),
        ({"scale": 2.5}, Factor(2.5)),
        ({"width": 1920}, Width(1920)),
        ({"longest": 4000}, LongestSide(4000)),
        ({"width": 19, "height": 10, "fit": "cover", "anchor": "top"}, Box(19, 10, Fit.COVER, Anchor.TOP)),
    ],
)  # fmt: skip
def test_targets(values: dict[str, object], target: object) -> None:
    assert UpscaleSettings.from_dict(values).target == target


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"scale": 2, "width": 100}, "more than once"),
        ({"scale": 0}, "too small"),
        ({"scale": float("nan")}, "can't be nan"),
        ({"width": 0}, "at least 1"),
        ({"width": 10.5}, "whole number"),
        ({"width": float("inf")}, "whole number"),
        ({"tile": float("nan")}, "whole number"),
        ({"scale": "two"}, "must be a number"),
        ({"scale": True}, "must be a number"),
        ({"fit": "squeeze"}, "one of contain, cover, pad, stretch"),
        ({"padding": "sky"}, "blur or a color"),
        ({"tile": 64, "overlap": 64}, "leaves nothing"),
        ({"before": 3}, "list of names"),
        ({"model": 3}, "must be text"),
        ({"modle": "x"}, "no setting called 'modle'"),
        ({"second_weight": 1.5}, "at most 1"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_words(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        UpscaleSettings.from_dict(values)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"scale": [2]}', "null"])
def test_json_that_is_not_settings_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        UpscaleSettings.from_json(text)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(list(options(UpscaleSettings))), anything))
def test_anything_a_client_may_send_is_settings_or_a_settings_error(values: dict[str, object]) -> None:
    try:
        settings = UpscaleSettings.from_dict(values)
    except SettingsError:
        return
    assume(values)
    assert UpscaleSettings.from_dict(settings.to_dict()) == settings
