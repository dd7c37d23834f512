"""The machinery of settings: a frozen dataclass whose fields say how they are presented, and its ways
to plain values, JSON and infotext and back. It knows no particular setting."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from typing_extensions import Self

from lib_upscale.errors import SettingsError

__all__ = ["Option", "Settings", "check_numbers", "option", "options"]


@dataclass(frozen=True)
class Option:
    """How one setting is presented to people."""

    label: str
    """A few words, as a control's label. Letters, digits, spaces and hyphens only, as infotext keys allow."""
    tip: str
    """What it does and when to change it, in plain words."""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None


def option(default: Any, label: str, tip: str, **limits: float) -> Any:
    """A dataclass field with its presentation; `limits` are minimum, maximum and step."""
    return field(default=default, metadata={"option": Option(label, tip, **limits)})


@dataclass(frozen=True)
class Settings:
    """The base of all settings: immutable, with a default for every field."""

    def changed(self, **values: Any) -> Self:
        """The same settings but for `values`, checked again."""
        return dataclasses.replace(self, **values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values by field name, only of fields that differ from their default."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self) if _is_set(self, f)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; values of None are left at their default. Raises `SettingsError`."""
        return cls(**_parsed(cls, values))

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises `SettingsError`."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"The settings are not JSON ({error})") from error
        if not isinstance(values, dict):
            raise SettingsError("The settings are not a JSON object")
        return cls.from_dict(values)

    def to_infotext(self, prefix: str = "Upscale Plus") -> dict[str, str]:
        """What goes into a picture's generation parameters: "<prefix> <label>" -> text, changed fields only."""
        values = self.to_dict()
        return {
            f"{prefix} {item.label.lower()}": _as_text(values[name])
            for name, item in options(type(self)).items()
            if name in values
        }

    @classmethod
    def from_infotext(cls, parameters: Mapping[str, str], prefix: str = "Upscale Plus") -> Self:
        """The inverse of `to_infotext`; keys that are not ours are ignored. Raises `SettingsError`."""
        found = {
            name: _from_text(parameters[key], _hints(cls)[name])
            for name, item in options(cls).items()
            if (key := f"{prefix} {item.label.lower()}") in parameters
        }
        return cls.from_dict(found)


def options(settings: type[Any]) -> dict[str, Option]:
    """Field name -> how it is presented, in the order of the fields."""
    return {f.name: f.metadata["option"] for f in dataclasses.fields(settings)}


def check_numbers(settings: Any) -> None:
    """Raise `SettingsError` for a number outside the limits of its item."""
    for name, item in options(type(settings)).items():
        value = getattr(settings, name)
        if value is None or not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            raise SettingsError(f"{item.label} can't be {value}")
        if item.minimum is not None and value < item.minimum:
            raise SettingsError(f"{item.label} {value:g} is too small", f"it must be at least {item.minimum:g}")
        if item.maximum is not None and value > item.maximum:
            raise SettingsError(f"{item.label} {value:g} is too large", f"it can be at most {item.maximum:g}")


_E = TypeVar("_E", bound=Enum)


def _is_set(settings: Any, item: dataclasses.Field[Any]) -> bool:
    return bool(getattr(settings, item.name) != item.default)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _as_text(value: Any) -> str:
    # Lists are JSON: names of models may hold any character, and infotext quotes what needs quoting.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _from_text(text: str, hint: Any) -> Any:
    if hint is str or (isinstance(hint, type) and issubclass(hint, Enum)):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _parsed(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    known = options(cls)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise SettingsError(f"There is no setting called '{unknown[0]}'", f"known are: {', '.join(known)}")
    hints = _hints(cls)
    return {
        name: _coerced(value, hints[name], known[name].label) for name, value in values.items() if value is not None
    }


def _coerced(value: Any, hint: Any, label: str) -> Any:
    kinds = [h for h in getattr(hint, "__args__", (hint,)) if h is not type(None) and h is not Ellipsis]
    kind = tuple if getattr(hint, "__origin__", None) is tuple else kinds[0]
    if kind is tuple:
        return _names(value, label)
    if kind is str:
        if not isinstance(value, str):
            raise SettingsError(f"{label} must be text, not {value!r}")
        return value
    if issubclass(kind, Enum):
        return _member(kind, value, label)
    return _number(kind, value, label)


def _names(value: Any, label: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise SettingsError(f"{label} must be a list of names, not {value!r}")
    return tuple(item for item in items if item)


def _member(kind: type[_E], value: Any, label: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise SettingsError(f"{label} can't be {value!r}", f"it is one of {known}") from None


def _number(kind: type[Any], value: Any, label: str) -> int | float | bool:
    if kind is bool and isinstance(value, bool):
        return value
    whole = kind is int
    usual = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not usual or (whole and (not math.isfinite(value) or value != int(value))):
        raise SettingsError(f"{label} must be a {'whole ' if whole else ''}number, not {value!r}")
    return int(value) if whole else float(value)
