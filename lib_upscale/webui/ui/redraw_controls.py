"""The controls of a redraw, in the script and beside hires fix alike: three are shown, the rest is folded away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import gradio as gr

from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.host import environment
from lib_upscale.webui.ui.upscale_controls import Maker

__all__ = ["AUTOMATIC", "SHOWN", "fold", "maker_of", "plain", "restored", "row"]

SHOWN = ("method", "tile", "overlap")
"""What most people change, if anything."""
AUTOMATIC: Mapping[str, float] = {"tile": 0, "overlap": -1, "flat_strength": -1}
"""Sliders at whose value below zero the setting is left automatic."""
_SLIDERS = {
    "scale": (0.25, 16.0), "tile": (0, 2048), "overlap": (-1, 512), "flat_strength": (-1.0, 1.0), "passes": (1, 4),
    "skip_flat": (0.0, 32.0), "mask_padding": (0, 256), "batch_size": (1, 16),
}  # fmt: skip
_TIPS = {"overlap": "-1 is automatic.", "flat_strength": "-1 is automatic."}


def maker_of(prefix: str, tips: Mapping[str, str] | None = None) -> Maker:
    """Makes the controls; `tips` are for those that are no settings."""
    return Maker(prefix, environment.has_tooltips(), RedrawSettings, {**_TIPS, **(tips or {})}, _SLIDERS)


def row(maker: Maker, names: Iterable[str], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Controls side by side, by their names; `defaults` are those that differ from the settings' own."""
    with gr.Row():
        return {name: _made(maker, name, (defaults or {}).get(name)) for name in names}


def fold(maker: Maker, prefix: str, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What hardly anybody changes."""
    found: dict[str, Any] = {}
    with gr.Accordion("Details", open=False, elem_id=f"{prefix}_details"):
        for names in rows:
            found.update(row(maker, names))
    return found


def plain(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What controls of those names say, as `RedrawSettings.from_dict` takes it; what is automatic is left out."""
    found = {name: _whole(values[name]) for name in names if values.get(name) is not None}
    return {name: value for name, value in found.items() if not (name in AUTOMATIC and value < 0)}


def restored(settings: RedrawSettings, name: str, otherwise: Any = None) -> Any:
    """The value of a control for those settings; `otherwise` where the setting is not given."""
    value = getattr(settings, name)
    if value is None:
        value = AUTOMATIC.get(name, otherwise)
    return value.value if isinstance(value, Enum) else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value == int(value) else value


def _made(maker: Maker, name: str, value: Any) -> Any:
    default: Any = RedrawSettings.__dataclass_fields__[name].default
    if options(RedrawSettings)[name].minimum is not None:
        return maker.number(name, AUTOMATIC.get(name, default) if value is None else value)
    if name == "regions":
        return maker.text(name, 3)
    if value is not None and isinstance(default, Enum):
        return maker.choice(name, [str(each.value) for each in type(default)], str(value))
    return maker.setting(name)
