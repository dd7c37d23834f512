"""The command line's options for `UpscaleSettings`, made from its own list of fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, get_type_hints

import click

from lib_upscale.settings.fields import Option, options
from lib_upscale.settings.upscale import UpscaleSettings

__all__ = ["settings_from", "settings_options"]

_AUTOMATIC = ("tile", "overlap")
"""Numbers that are chosen unless given, by the word auto."""

_NAMES = ("model", "before", "after", "second_model")


class _AutoNumber(click.IntRange):
    """A whole number, or the word auto, which stands for the setting's default."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if str(value).lower() == "auto" else super().convert(value, param, ctx)

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "auto|N"


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with an option for every field; what is not given arrives as None or ()."""
    hints = get_type_hints(UpscaleSettings)
    for name, item in reversed(list(options(UpscaleSettings).items())):
        command = _option(name, item, hints[name])(command)
    return command


def settings_from(values: Mapping[str, Any]) -> UpscaleSettings:
    """The settings that the options ask for. Raises `SettingsError`."""
    return UpscaleSettings.from_dict({name: values[name] for name in options(UpscaleSettings)})


def _option(name: str, item: Option, hint: Any) -> Callable[..., Any]:
    flag = "--" + name.replace("_", "-")
    default = getattr(UpscaleSettings(), name)
    note = ""
    if name in _AUTOMATIC:
        note = "  [default: auto]"
    elif default not in (None, "", ()):
        note = f"  [default: {default.value if isinstance(default, Enum) else default}]"
    metavar = "NAME_OR_PATH" if name in _NAMES else None
    several = hint == tuple[str, ...]
    kind = _type(name, item, hint)
    return click.option(flag, name, type=kind, multiple=several, help=item.tip + note, metavar=metavar)


def _type(name: str, item: Option, hint: Any) -> Any:
    kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind not in (type(None), Ellipsis)]
    kind = kinds[0]
    if name in _AUTOMATIC:
        return _AutoNumber(_whole(item.minimum), _whole(item.maximum))
    if issubclass(kind, Enum):
        return click.Choice([str(member.value) for member in kind])
    if kind is int:
        return click.IntRange(_whole(item.minimum), _whole(item.maximum))
    if kind is float:
        return click.FloatRange(item.minimum, item.maximum)
    return click.STRING


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)
