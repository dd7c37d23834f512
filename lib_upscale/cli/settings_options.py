"""The options of the command line that are settings, made from `UpscaleSettings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from lib_upscale.settings.fields import Kind, Option, options
from lib_upscale.settings.upscale import UpscaleSettings

__all__ = ["settings_from", "settings_options"]


class _AutomaticNumber(click.ParamType):  # type: ignore[type-arg]
    """A number, or the word auto, which stands for what the program chooses."""

    name = "auto|N"

    def __init__(self, item: Option) -> None:
        self._item, self._number = item, _number(item)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        former = int(value) if value in ("0", "-1") else value
        return None if self._item.is_automatic(former) else self._number.convert(value, param, ctx)

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "auto|N"


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with an option for every setting; those not used arrive as None or ()."""
    for item in reversed(list(options(UpscaleSettings).values())):
        command = _option(item)(command)
    return command


def settings_from(values: Mapping[str, Any]) -> UpscaleSettings:
    """The settings that the options ask for. Raises `SettingsError`."""
    return UpscaleSettings.from_dict({name: values[name] for name in options(UpscaleSettings)})


def _option(item: Option) -> Callable[..., Any]:
    default = "auto" if item.automatic else item.default_text
    return click.option(
        "--" + item.name.replace("_", "-"),
        item.name,
        type=_type(item),
        multiple=item.kind is Kind.LIST,
        help=item.explanation + (f"  [default: {default}]" if default else ""),
        metavar="NAME_OR_PATH" if item.names_model else None,
    )


def _type(item: Option) -> Any:
    if item.automatic:
        return _AutomaticNumber(item)
    if item.kind is Kind.CHOICE:
        return click.Choice(item.values)
    if item.kind is Kind.SWITCH:
        return click.BOOL
    return _number(item) if item.is_number else click.STRING


def _number(item: Option) -> Any:
    if item.kind is Kind.DECIMAL:
        return click.FloatRange(item.minimum, item.maximum)
    low, high = (None if limit is None else int(limit) for limit in (item.minimum, item.maximum))
    return click.IntRange(low, high)
