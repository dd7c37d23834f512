"""What controls of a page say, read as settings, and settings as values of controls. It needs no gradio."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import Group, Kind, Option, options
from lib_upscale.settings.target import TargetKind, TargetSettings

__all__ = ["control_value", "first_value", "offered", "read_controls", "target_kinds", "target_values"]


def offered(settings: type[Settings], page: Enum) -> dict[str, Option]:
    """The settings that a page offers, in the order of their controls."""
    return {name: item for name, item in options(settings).items() if page in item.offered}


def first_value(item: Option) -> object:
    """What a control shows before anybody changes it."""
    if item.automatic:
        return ""
    return item.suggestion if item.default is None else item.plain_default


def control_value(item: Option, settings: Settings) -> object:
    """What a control shows for those settings."""
    value = getattr(settings, item.name)
    if value is None:
        # The other side of a box follows from the one that is set: its field is empty.
        is_open = isinstance(settings, TargetSettings) and item.name in settings.target_kind.sizes
        return None if is_open else first_value(item)
    if item.automatic:
        return str(value)
    return value.value if isinstance(value, Enum) else list(value) if isinstance(value, tuple) else value


def read_controls(
    settings: type[Settings], values: Mapping[str, object], read_name: Callable[[str], str] = str
) -> dict[str, object]:
    """The plain values behind those of controls, as `Settings.from_dict` takes them.

    Args:
        settings: The class of the settings.
        values: By name of the field; None and what is no setting are left out.
        read_name: The name of a model behind the text that a list shows.
    """
    known = options(settings)
    plain = {name: _read(item, values[name], read_name) for name, item in known.items() if values.get(name) is not None}
    return {name: value for name, value in plain.items() if not known[name].needs or plain.get(known[name].needs)}


def target_kinds(settings: type[TargetSettings]) -> list[TargetKind]:
    """What a person can choose as the target of those settings."""
    return [kind for kind in TargetKind if kind.sizes or settings().target is None]


def target_values(settings: type[TargetSettings], values: Mapping[str, object], kind: TargetKind) -> dict[str, object]:
    """`values` without those of other kinds of target than the one chosen."""
    used = settings.target_fields(kind)
    known = options(settings)
    return {
        name: value
        for name, value in values.items()
        if name in used or name not in known or known[name].group is not Group.TARGET
    }


def _read(item: Option, value: Any, read_name: Callable[[str], str]) -> object:
    if item.names_model:
        names = [value] if isinstance(value, str) else value
        return [read_name(name) for name in names] if item.kind is Kind.LIST else read_name(value)
    if item.automatic and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
