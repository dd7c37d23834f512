"""The gradio controls, made from the one list of settings, and the way back from their values to settings.

A control takes its label, tooltip and limits from `UpscaleSettings`; here stands only what a page needs beside that:
one choice of what the target is, presets, and names of models with what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gradio as gr

from lib_upscale.errors import SettingsError
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import Option, options
from lib_upscale.settings.upscale import UpscaleSettings

__all__ = [
    "PRESETS", "Controls", "Maker", "build", "first_choice", "model_choices", "name_of", "preset_fields",
    "preset_values", "settings_of", "target_rows", "titles",
]  # fmt: skip

NONE = "None"
_MODEL_LISTS = ("model", "before", "second_model", "after")
_BETWEEN = " \N{MIDDLE DOT} "


class TargetKind(str, Enum):
    """What the size of the result is given by. The values are what a person chooses from."""

    OWN = "Model's own scale"
    FACTOR = "Factor"
    BOX = "Width x height"
    LONGEST = "Longest side"
    SHORTEST = "Shortest side"
    MEGAPIXELS = "Megapixels"


_FIELDS: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.OWN: (),
    TargetKind.FACTOR: ("scale",),
    TargetKind.BOX: ("width", "height"),
    TargetKind.LONGEST: ("longest",),
    TargetKind.SHORTEST: ("shortest",),
    TargetKind.MEGAPIXELS: ("megapixels",),
}
_FIRST_VALUES = {"scale": 2.0, "width": 1920, "height": 1080, "longest": 2048, "shortest": 1080, "megapixels": 8.0}
_BOXED = ("fit", "anchor", "padding")
_SLIDERS = {"scale": (0.25, 16.0), "tile": (0, 2048), "overlap": (-1, 256), "second_weight": (0.0, 1.0)}
"""Sliders that are narrower than the setting, so that the usual values are not a pixel apart."""

_OWN_TIPS = {
    "target_kind": "What the size of the result is given by. Model's own scale runs the network once, as it was made.",
    "preset": "Fills in a common size. The values can be changed afterwards.",
    "overlap": "-1 is automatic.",
    "recurse": "Batch from directory: also take the pictures in the folders below, and keep the folders in the output.",
    "skip_done": "Batch from directory: leave out pictures whose result is there already, made with these settings.",
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "2x": {"target_kind": TargetKind.FACTOR.value, "scale": 2},
    "3x": {"target_kind": TargetKind.FACTOR.value, "scale": 3},
    "4x": {"target_kind": TargetKind.FACTOR.value, "scale": 4},
    "8x": {"target_kind": TargetKind.FACTOR.value, "scale": 8},
    "1920x1080": {"target_kind": TargetKind.BOX.value, "width": 1920, "height": 1080},
    "2560x1440": {"target_kind": TargetKind.BOX.value, "width": 2560, "height": 1440},
    "4K (3840x2160)": {"target_kind": TargetKind.BOX.value, "width": 3840, "height": 2160},
    "8K (7680x4320)": {"target_kind": TargetKind.BOX.value, "width": 7680, "height": 4320},
    "Longest side 2048": {"target_kind": TargetKind.LONGEST.value, "longest": 2048},
    "Longest side 4096": {"target_kind": TargetKind.LONGEST.value, "longest": 4096},
}
"""What a preset is called -> the values it fills in."""


@dataclass(frozen=True)
class Controls:
    """What `build` has made."""

    inputs: dict[str, Any]
    """Name -> component, in the order of the arguments; their values are what `settings_of` takes."""
    preset: Any
    refresh: Any
    """The button that looks for new model files."""
    target_rows: list[Any]
    """In the order of `target_rows`: the controls that belong to a kind of target and are seen only with it."""

    @property
    def model_lists(self) -> list[Any]:
        """The components that choose a model, in the order of `model_choices`."""
        return [self.inputs[name] for name in _MODEL_LISTS]


def titles(entries: Sequence[Entry], *, cleaning: bool = False) -> list[str]:
    """How models are shown: name, architecture, scale. With `cleaning`, those that don't enlarge come first."""
    shown = sorted(entries, key=lambda entry: cleaning and _scale(entry) != 1)
    return [title(entry) for entry in shown]


def title(entry: Entry) -> str:
    """One model as it is shown."""
    network = entry.identity.network
    what = "" if network is None else f"{network.architecture_name} {network.scale}x"
    return f"{entry.name}{_BETWEEN}{what}"


def name_of(shown: str | None) -> str:
    """The model's name behind what is shown; "" for none. A bare name stays as it is."""
    if not shown or shown == NONE:
        return ""
    return shown.rpartition(_BETWEEN)[0] if _BETWEEN in shown else shown


def build(entries: Sequence[Entry], prefix: str, *, has_tooltips: bool, for_batches: bool = False) -> Controls:
    """Make the controls inside the gradio context of now. `prefix` begins the id of each."""
    maker = Maker(prefix, has_tooltips)
    inputs: dict[str, Any] = {}
    rows: list[Any] = []
    models, befores, seconds, afters = model_choices(entries)
    with gr.Row():
        inputs["model"] = maker.choice("model", models, first_choice(entries))
        refresh = maker.button("refresh", "\N{CLOCKWISE OPEN CIRCLE ARROW}", "Look for new model files.")
    with gr.Row():
        kinds = [each.value for each in TargetKind]
        inputs["target_kind"] = maker.choice("target_kind", kinds, TargetKind.FACTOR.value, label="Target")
        preset = maker.choice("preset", [NONE, *PRESETS], NONE, label="Preset")
    for kind, fields in _FIELDS.items():
        if not fields:
            continue
        with gr.Row(visible=kind is TargetKind.FACTOR) as row:
            rows.append(row)
            for field in fields:
                inputs[field] = maker.number(field, _FIRST_VALUES[field])
            if kind is TargetKind.BOX:
                inputs.update({field: maker.setting(field) for field in _BOXED})
    with gr.Row():
        inputs["before"] = maker.choice("before", befores, NONE, label="Restoration before")
    with gr.Row():
        inputs["second_model"] = maker.choice("second_model", seconds, NONE)
        inputs["second_weight"] = maker.number("second_weight", 0.5)
    with gr.Accordion("Details", open=False, elem_id=f"{prefix}_details"):
        _build_details(inputs, maker, afters, for_batches)
    return Controls(inputs, preset, refresh, rows)


def settings_of(values: Mapping[str, Any]) -> UpscaleSettings:
    """What the controls say. A value that is missing or None is the setting's default. Raises `SettingsError`.

    A list without a choice is an error: a model that nobody chose is not what the person sees.
    """
    if not name_of(values.get("model")):
        label = options(UpscaleSettings)["model"].label
        raise SettingsError("No upscaler is chosen", f"choose one in the list '{label}'")
    kind = TargetKind(values.get("target_kind") or TargetKind.OWN)
    used = set(_FIELDS[kind])
    targets = {name for names in _FIELDS.values() for name in names}
    plain: dict[str, Any] = {}
    for name in options(UpscaleSettings):
        value = values.get(name)
        if value is None or value == "" or (name in targets and name not in used):
            continue
        if kind is not TargetKind.BOX and name in _BOXED:
            continue
        plain[name] = _given(name, value)
    if not plain.get("second_model"):
        plain.pop("second_weight", None)
    if plain.get("overlap", 0) < 0:
        plain.pop("overlap")
    return UpscaleSettings.from_dict(plain)


def _build_details(inputs: dict[str, Any], maker: Maker, cleaners: list[str], for_batches: bool) -> None:
    """What hardly anybody changes."""
    with gr.Row():
        inputs.update({field: maker.setting(field) for field in ("alpha", "precision", "backend")})
    with gr.Row():
        inputs["tile"] = maker.number("tile", 0)
        inputs["overlap"] = maker.number("overlap", -1)
    with gr.Row():
        inputs["after"] = maker.choice("after", cleaners, NONE, label="Clean-up after")
    if for_batches:
        with gr.Row():
            inputs["recurse"] = maker.check("recurse", "Include subfolders", False)
            inputs["skip_done"] = maker.check("skip_done", "Skip pictures that are done", True)


def first_choice(entries: Sequence[Entry]) -> str | None:
    """What is chosen before anybody chooses: a model that enlarges, where there is one."""
    larger = [entry for entry in entries if _scale(entry) > 1]
    return next((title(entry) for entry in (*larger, *entries)), None)


def model_choices(entries: Sequence[Entry]) -> list[list[str]]:
    """What each of `Controls.model_lists` offers."""
    models, cleaners = titles(entries), titles(entries, cleaning=True)
    return [models, [NONE, *cleaners], [NONE, *models], [NONE, *cleaners]]


def preset_values(chosen: str | None) -> list[Any]:
    """Updates for the target's kind and its numbers, in the order of `preset_fields`."""
    values = PRESETS.get(chosen or "", {})
    return [gr.update(value=values[name]) if name in values else gr.update() for name in preset_fields()]


def preset_fields() -> list[str]:
    """The inputs that a preset may fill in."""
    return ["target_kind", *(name for names in _FIELDS.values() for name in names)]


def target_rows(chosen: str | None) -> list[Any]:
    """Updates that show only the numbers of the kind of target that was chosen."""
    return [gr.update(visible=kind.value == chosen) for kind, fields in _FIELDS.items() if fields]


def _given(name: str, value: Any) -> Any:
    if name in ("model", "second_model"):
        return name_of(value)
    if name in ("before", "after"):
        return [name_of(value)] if isinstance(value, str) else [name_of(item) for item in value]
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


def _scale(entry: Entry) -> int:
    return entry.identity.network.scale if entry.identity.network is not None else 1


class Maker:
    """Makes one control, with its label, id and tooltip, from the settings of a class."""

    def __init__(
        self, prefix: str, has_tooltips: bool, settings: type[Settings] = UpscaleSettings,
        tips: Mapping[str, str] = _OWN_TIPS, sliders: Mapping[str, tuple[float, float]] = _SLIDERS,
    ) -> None:  # fmt: skip
        self._prefix = prefix
        self._has_tooltips = has_tooltips
        self._settings, self._tips, self._sliders = settings, tips, sliders
        self._known = options(settings)

    def choice(self, name: str, choices: list[str], value: str | None, label: str | None = None) -> Any:
        """A list to choose one from."""
        return self._make(gr.Dropdown, name, label, choices=choices, value=value)

    def number(self, name: str, value: float) -> Any:
        """A slider where the range is narrow, else a field."""
        item = self._known[name]
        if name in self._sliders:
            low, high = self._sliders[name]
            return self._make(gr.Slider, name, None, minimum=low, maximum=high, step=item.step, value=value)
        return self._make(gr.Number, name, None, value=value, **({} if _is_fraction(item) else {"precision": 0}))

    def setting(self, name: str) -> Any:
        """The control that fits the kind of the setting's default."""
        default = self._settings.__dataclass_fields__[name].default
        if isinstance(default, Enum):
            choices = [str(member.value) for member in type(default)]
            return self.choice(name, choices, str(default.value))
        if isinstance(default, bool):
            return self.check(name, None, default)
        return self._make(gr.Textbox, name, None, value=default)

    def check(self, name: str, label: str | None, value: bool) -> Any:
        """A box to tick."""
        return self._make(gr.Checkbox, name, label, value=value)

    def plain_number(self, name: str, label: str, value: int) -> Any:
        """A field for a whole number that is no setting."""
        return self._make(gr.Number, name, label, value=value, precision=0)

    def text(self, name: str, lines: int) -> Any:
        """A field for several lines."""
        return self._make(gr.Textbox, name, None, value="", lines=lines)

    def button(self, name: str, text: str, tip: str) -> Any:
        """A small button."""
        tooltip = {"tooltip": tip} if self._has_tooltips else {}
        classes = ["tool", "upscale-plus-tool"]
        return gr.Button(text, elem_id=f"{self._prefix}_{name}", elem_classes=classes, **tooltip)

    def _make(self, kind: Callable[..., Any], name: str, label: str | None, **arguments: Any) -> Any:
        item = self._known.get(name)
        tip = " ".join(part for part in (item.tip if item else "", self._tips.get(name, "")) if part)
        shown = {"tooltip": tip} if self._has_tooltips else {"info": tip}
        return kind(
            label=label or (item.label if item else name), elem_id=f"{self._prefix}_{name}", **shown, **arguments
        )


def _is_fraction(item: Option) -> bool:
    return item.step is not None and item.step != int(item.step)
