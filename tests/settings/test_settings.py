"""Settings survive the way to infotext, JSON and back; what makes no sense is refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import AlphaMode
from lib_upscale.image.target import Anchor, Box, Factor, Fit, LongestSide, Megapixels, ShortestSide, Width
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import ColorLock, Page, RedrawMethod, RedrawSettings, TileOrder, VaeMode
from lib_upscale.settings.upscale import Backend, Precision, UpscaleSettings

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
    tile = draw(st.sampled_from([None, 256, 512]))
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
    assert UpscaleSettings.from_dict(json.loads(settings.to_json())) == settings


@given(any_settings())
def test_infotext_and_back(settings: UpscaleSettings) -> None:
    text = settings.to_infotext()
    assert all(isinstance(value, str) for value in text.values())
    assert UpscaleSettings.from_infotext({**text, "Steps": "20"}) == settings


def test_infotext_keys_hold_only_what_the_webui_can_read_back() -> None:
    for option in options(UpscaleSettings).values():
        assert all(c.isalnum() or c in " -/" for c in option.infotext)
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
)
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
        ({"padding": "sky"}, "not a valid padding: write blur or a color"),
        ({"tile": 64, "overlap": 64}, "leaves nothing"),
        ({"before": 3}, "list of names"),
        ({"model": 3}, "must be text"),
        ({"modle": "x"}, "no setting called 'modle'"),
        ({"second_weight": 1.5}, "at most 1"),
        ({"scale": [2]}, "must be a number"),
        ({"tile": "large"}, "whole number or automatic"),
        ({"overlap": -2}, "too small"),
    ],
)
def test_nonsense_is_refused_in_words(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        UpscaleSettings.from_dict(values)


UPSCALE_KEYS = {
    "model": "upscaler",
    "scale": "scale",
    "width": "width",
    "height": "height",
    "longest": "longest side",
    "shortest": "shortest side",
    "megapixels": "megapixels",
    "fit": "fit",
    "anchor": "anchor",
    "padding": "padding",
    "before": "models before",
    "after": "models after",
    "second_model": "second upscaler",
    "second_weight": "second upscaler visibility",
    "alpha": "alpha",
    "tile": "tile",
    "overlap": "overlap",
    "precision": "precision",
    "backend": "backend",
}
REDRAW_KEYS = {
    "scale": "scale",
    "width": "width",
    "height": "height",
    "longest": "longest side",
    "fit": "fit",
    "anchor": "anchor",
    "upscaler": "upscaler",
    "method": "method",
    "tile": "tile",
    "overlap": "overlap",
    "order": "order",
    "mode": "mode",
    "blend": "blend",
    "color_lock": "colour lock",
    "skip_flat": "skip flat tiles",
    "flat_strength": "strength for flat tiles",
    "passes": "passes",
    "strengths": "strength of passes",
    "seam_pass": "seam pass",
    "prompt_source": "prompt source",
    "tile_prompt": "tile prompt",
    "regions": "regions",
    "mask_padding": "mask padding",
    "batch_size": "tiles at once",
    "vae": "vae",
    "shift": "grid shift",
    "resume": "resume",
    "save_upscaled": "save upscaled picture",
}


@pytest.mark.parametrize(("settings", "keys"), [(UpscaleSettings, UPSCALE_KEYS), (RedrawSettings, REDRAW_KEYS)])
def test_images_of_version_0_1_0_can_be_pasted(settings: type[Settings], keys: dict[str, str]) -> None:
    known = options(settings)
    assert {name: key for name, key in keys.items() if key not in known[name].keys} == {}


def test_infotext_of_version_0_1_0_is_read() -> None:
    """As a redraw wrote it: its labels have changed since, and automatic was a number."""
    text = {"tile": "0", "overlap": "-1", "colour lock": "gaussian", "save upscaled picture": "true", "vae": "fast"}
    parameters = {f"SD upscale plus {key}": value for key, value in text.items()}
    settings = RedrawSettings.from_infotext(parameters, "SD upscale plus")
    assert settings == RedrawSettings(color_lock=ColorLock.GAUSSIAN, save_upscaled=True, vae=VaeMode.FAST)


@pytest.mark.parametrize("value", [None, "", "auto", "automatic", " Automatic ", 0, -1, 0.0])
def test_automatic_is_none_however_it_is_spelled(value: object) -> None:
    assert UpscaleSettings.from_dict({"tile": value}).tile is None
    assert RedrawSettings.from_dict({"tile": value}).tile is None


def test_zero_is_a_number_where_it_is_allowed() -> None:
    assert UpscaleSettings.from_dict({"overlap": 0}).overlap == 0
    assert RedrawSettings.from_dict({"flat_strength": 0}).flat_strength == 0
    assert RedrawSettings.from_dict({"flat_strength": -1}).flat_strength is None


def test_what_can_be_automatic_is_so_by_default_and_says_what_it_chooses() -> None:
    for settings in (UpscaleSettings, RedrawSettings):
        for item in options(settings).values():
            if item.automatic:
                assert item.default is None
                assert item.automatic.startswith("Automatic ")
                assert item.automatic.endswith(".")
                assert item.is_number
                assert "0 is" not in item.explanation
                assert "-1" not in item.explanation


def test_names_of_models_are_listed_and_replaced_wherever_they_stand() -> None:
    settings = UpscaleSettings(model="a", before=("b", "c"), after=("d",), second_model="e", padding="#fff")
    assert sorted(settings.model_names()) == ["a", "b", "c", "d", "e"]
    assert settings.with_models(str.upper) == settings.changed(
        model="A", before=("B", "C"), after=("D",), second_model="E"
    )
    assert UpscaleSettings().model_names() == ()
    assert UpscaleSettings().with_models(lambda name: "x") == UpscaleSettings()
    assert RedrawSettings(upscaler="a").model_names() == ("a",)


def test_what_a_method_ignores_is_known_page_by_page() -> None:
    changed = RedrawSettings(
        method=RedrawMethod.JOINT, order=TileOrder.SPIRAL, color_lock=ColorLock.OFF, shift=True, skip_flat=2.0
    )
    assert [item.name for item in changed.without_effect(Page.HIRES, RedrawMethod.JOINT)] == [
        "order",
        "color_lock",
        "skip_flat",
    ]
    assert [item.name for item in changed.without_effect(Page.SCRIPT, RedrawMethod.JOINT)] == ["order", "skip_flat"]
    assert [item.name for item in changed.without_effect(Page.SCRIPT, RedrawMethod.TILES)] == ["shift"]
    effective = changed.effective(Page.SCRIPT, RedrawMethod.JOINT)
    assert effective == RedrawSettings(method=RedrawMethod.JOINT, color_lock=ColorLock.OFF, shift=True)


def test_equal_results_have_equal_deciding_values() -> None:
    same = RedrawSettings(tile=128, batch_size=4, save_upscaled=True, resume=False)
    assert same.deciding_values() == RedrawSettings(tile=128).deciding_values() == {"tile": 128}


def test_regions_are_checked_with_the_other_settings() -> None:
    with pytest.raises(SettingsError, match="Line 1 of the regions"):
        RedrawSettings(regions="a tree")
    region = RedrawSettings(regions="0, 0, 50, 100: an oak").prompt_regions[0]
    assert (region.right, region.prompt) == (0.5, "an oak")


@pytest.mark.parametrize(
    ("values", "target"),
    [({}, Factor(2.0)), ({"shortest": 700}, ShortestSide(700)), ({"megapixels": 2}, Megapixels(2.0))],
)
def test_targets_of_a_redraw(values: dict[str, object], target: object) -> None:
    assert RedrawSettings.from_dict(values).target == target


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
