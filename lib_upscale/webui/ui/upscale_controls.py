"""The controls of upscaling with a model, and the way back from their values to settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from lib_upscale.errors import SettingsError
from lib_upscale.image.target import Fit
from lib_upscale.models.catalog.catalog import Entry
from lib_upscale.settings.fields import Group, Kind, Option, options
from lib_upscale.settings.target import TargetKind
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.ui import control_factory
from lib_upscale.webui.ui.control_factory import ControlFactory
from lib_upscale.webui.ui.values import read_controls, target_kinds, target_values

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = [
    "PRESETS",
    "Controls",
    "build",
    "first_choice",
    "model_choices",
    "name_of",
    "preset_fields",
    "preset_values",
    "refresh_lists",
    "settings_of",
    "target_rows",
    "titles",
]

NONE = "None"
_BETWEEN = " \N{MIDDLE DOT} "


def _factor(scale: float) -> dict[str, object]:
    return {"target_kind": TargetKind.FACTOR.value, "scale": scale}


def _box(width: int, height: int) -> dict[str, object]:
    return {"target_kind": TargetKind.BOX.value, "width": width, "height": height}


def _longest(side: int) -> dict[str, object]:
    return {"target_kind": TargetKind.LONGEST.value, "longest": side}


PRESETS: Mapping[str, Mapping[str, object]] = {
    "2x": _factor(2),
    "3x": _factor(3),
    "4x": _factor(4),
    "8x": _factor(8),
    "1920x1080": _box(1920, 1080),
    "2560x1440": _box(2560, 1440),
    "4K (3840x2160)": _box(3840, 2160),
    "8K (7680x4320)": _box(7680, 4320),
    "Longest side 2048": _longest(2048),
    "Longest side 4096": _longest(4096),
}
"""What a preset is called -> the values it fills in."""


@dataclass(frozen=True)
class Controls:
    """What `build` has made."""

    inputs: dict[str, Component]
    """Name -> component, in the order of the arguments; their values are what `settings_of` takes."""
    preset: Component
    refresh: Component
    """The button that looks for new model files."""
    target_rows: list[Component]
    """In the order of `target_rows`: the controls that belong to a kind of target and are seen only with it."""

    @property
    def model_lists(self) -> list[Component]:
        """The components that choose a model, in the order of `model_choices`."""
        return [self.inputs[item.name] for item in _model_options()]


def titles(entries: Sequence[Entry], *, cleaning: bool = False) -> list[str]:
    """How models are shown: name, architecture, scale. With `cleaning`, those that don't enlarge come first."""
    ordered = sorted(entries, key=lambda entry: cleaning and _scale(entry) != 1)
    return [title(entry) for entry in ordered]


def title(entry: Entry) -> str:
    """One model as it is shown."""
    network = entry.identity.network
    what = "" if network is None else f"{network.architecture_name} {network.scale}x"
    return f"{entry.name}{_BETWEEN}{what}"


def name_of(text: object) -> str:
    """The model's name behind what is shown; "" for none. A bare name stays as it is."""
    if not isinstance(text, str) or not text or text == NONE:
        return ""
    return text.rpartition(_BETWEEN)[0] if _BETWEEN in text else text


def build(entries: Sequence[Entry], prefix: str, *, for_batches: bool = False) -> Controls:
    """Make the controls inside the gradio context of now.

    Args:
        entries: The models that can be chosen.
        prefix: What the id of each control begins with.
        for_batches: Whether there is a tab for whole directories, which has controls of its own.
    """
    models = {item.name: choices for item, choices in zip(_model_options(), model_choices(entries), strict=True)}
    first = {item.name: _first_value(item, entries) for item in _model_options()}
    factory = ControlFactory(prefix, UpscaleSettings, models, first)
    inputs: dict[str, Component] = {}
    with gr.Row():
        inputs.update({name: factory.setting(name) for name in _upscalers()})
        refresh = factory.button("refresh", "\N{CLOCKWISE OPEN CIRCLE ARROW}", "Look for new model files.")
    with gr.Row():
        inputs["target_kind"] = factory.choice(
            "target_kind",
            "Target",
            "How the output size is given. Model's own scale runs the model once, at its built-in scale.",
            [kind.value for kind in target_kinds(UpscaleSettings)],
            TargetKind.FACTOR.value,
        )
        tip = "Fills in a common output size. The values can be changed afterwards."
        preset = factory.choice("preset", "Preset", tip, [NONE, *PRESETS], NONE)
    targets, rows = factory.targets(UpscaleSettings)
    inputs.update(targets)
    items = [item for item in options(UpscaleSettings).values() if item.name not in inputs]
    inputs.update(factory.rows(item for item in items if not item.group.folded))
    with factory.fold():
        inputs.update(factory.rows(item for item in items if item.group.folded))
        if for_batches:
            inputs.update(_batch_controls(factory))
    return Controls(inputs, preset, refresh, rows)


def settings_of(values: Mapping[str, object]) -> UpscaleSettings:
    """What the controls say. A value that is missing or None is the setting's default.

    Raises:
        SettingsError: A value makes no sense, or no model is chosen: the default is not what the person sees.
    """
    for name in _upscalers():
        if not name_of(values.get(name)):
            label = options(UpscaleSettings)[name].label
            raise SettingsError("No upscaler is chosen", f"choose one in the list '{label}'")
    kind = TargetKind(values.get("target_kind") or TargetKind.OWN)
    filled = {name: value for name, value in target_values(UpscaleSettings, values, kind).items() if value != ""}
    if filled.get("fit") != Fit.PAD.value:
        filled.pop("padding", None)  # of no effect, whatever was written there
    return UpscaleSettings.from_dict(read_controls(UpscaleSettings, filled, name_of))


def first_choice(entries: Sequence[Entry]) -> str | None:
    """What is chosen before anybody chooses: a model that enlarges, where there is one."""
    larger = [entry for entry in entries if _scale(entry) > 1]
    return next((title(entry) for entry in (*larger, *entries)), None)


def model_choices(entries: Sequence[Entry]) -> list[list[str]]:
    """What each of `Controls.model_lists` offers."""
    models, cleaners = titles(entries), titles(entries, cleaning=True)
    return [
        models if item.name in _upscalers() else [NONE, *(cleaners if item.kind is Kind.LIST else models)]
        for item in _model_options()
    ]


def refresh_lists(entries: Sequence[Entry], chosen: Sequence[object]) -> list[object]:
    """Updates of `Controls.model_lists` for the models that there are now.

    A list that has nothing chosen, or a model that is gone, begins anew: its first value is what the person sees.
    """
    return [
        gr.update(choices=choices)
        if value in choices
        else gr.update(choices=choices, value=_first_value(item, entries))
        for item, choices, value in zip(_model_options(), model_choices(entries), chosen, strict=True)
    ]


def preset_values(chosen: str | None) -> list[object]:
    """Updates for the target's kind and its numbers, in the order of `preset_fields`."""
    values = PRESETS.get(chosen or "", {})
    return [gr.update(value=values[name]) if name in values else gr.update() for name in preset_fields()]


def preset_fields() -> list[str]:
    """The inputs that a preset may fill in."""
    return ["target_kind", *(name for kind in TargetKind for name in kind.sizes)]


def target_rows(chosen: str | None) -> list[object]:
    """Updates that show only the numbers of the kind of target that was chosen."""
    return control_factory.show_target_rows(UpscaleSettings, chosen)


def _batch_controls(factory: ControlFactory) -> dict[str, Component]:
    with gr.Row():
        return {
            "recurse": factory.check(
                "recurse",
                "Include subfolders",
                "Batch from directory: process subfolders too, and keep their structure in the output.",
                False,
            ),
            "skip_done": factory.check(
                "skip_done",
                "Skip images that are done",
                "Batch from directory: skip images whose result exists already, made with these settings.",
                True,
            ),
        }


def _model_options() -> list[Option]:
    return [item for item in options(UpscaleSettings).values() if item.names_model]


def _first_value(item: Option, entries: Sequence[Entry]) -> str | None:
    return first_choice(entries) if item.name in _upscalers() else NONE


def _upscalers() -> list[str]:
    """The settings that name what enlarges, one of which has to be chosen."""
    return [item.name for item in _model_options() if item.group is Group.UPSCALER]


def _scale(entry: Entry) -> int:
    return entry.identity.network.scale if entry.identity.network is not None else 1
