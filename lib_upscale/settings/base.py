"""The base of all settings: a frozen dataclass, and its ways to plain values, JSON and infotext and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from typing_extensions import Self

from lib_upscale.errors import SettingsError
from lib_upscale.settings.fields import Kind, Option, check_numbers, options, to_plain, to_text

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Immutable settings, with a default for every field, made by `option`."""

    def __post_init__(self) -> None:
        for name, item in options(type(self)).items():
            value = getattr(self, name)
            # A string in place of an enum's member would be equal to it and yet have no effect where "is" asks.
            if item.choices is not None and not isinstance(value, item.choices):
                object.__setattr__(self, name, item.parse(value))
        check_numbers(self)

    def changed(self, **values: Any) -> Self:
        """The same settings but for `values`, checked again."""
        return dataclasses.replace(self, **values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values by field name, only of fields that differ from their default."""
        values = {name: getattr(self, name) for name in options(type(self))}
        return {name: to_plain(value) for name, value in values.items() if value != options(type(self))[name].default}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Args:
            values: By field name. None leaves a setting at its default. Automatic may be spelled "auto", "automatic",
                and as version 0.1.0 did: 0 or -1 where the setting can't have that value.

        Raises:
            SettingsError: A name is unknown or a value makes no sense.
        """
        known = options(cls)
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingsError(f"There is no setting called '{unknown[0]}'", f"known are: {', '.join(known)}")
        return cls(**{name: known[name].parse(value) for name, value in values.items() if value is not None})

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)

    def to_infotext(self, prefix: str = "Upscale Plus") -> dict[str, str]:
        """What goes into an image's generation parameters: "<prefix> <key>" -> text, changed fields only."""
        known = options(type(self))
        return {f"{prefix} {known[name].infotext}": to_text(value) for name, value in self.to_dict().items()}

    @classmethod
    def from_infotext(cls, parameters: Mapping[str, str], prefix: str = "Upscale Plus") -> Self:
        """The inverse of `to_infotext`; other keys are ignored. Raises `SettingsError`."""
        values = {}
        for name, item in options(cls).items():
            keys = [f"{prefix} {key}" for key in item.keys]
            text = next((parameters[key] for key in keys if key in parameters), None)
            if text is not None:
                values[name] = item.parse_text(text)
        return cls.from_dict(values)

    def deciding_values(self) -> dict[str, Any]:
        """`to_dict` without what makes no difference to the result: equal for settings with equal results."""
        return {name: value for name, value in self.to_dict().items() if options(type(self))[name].changes_result}

    def model_names(self) -> tuple[str, ...]:
        """Every model that is named, in the order of the fields; defaults, which have no name, are left out."""
        return tuple(name for item in self._model_options() for name in _names(getattr(self, item.name)))

    def with_models(self, resolve: Callable[[str], str]) -> Self:
        """The same settings with each name of a model replaced by what `resolve` says of it."""
        resolved: dict[str, Any] = {}
        for item in self._model_options():
            names = tuple(resolve(name) for name in _names(getattr(self, item.name)))
            resolved[item.name] = names if item.kind is Kind.LIST else "".join(names)
        return self.changed(**resolved)

    def without_effect(self, page: Enum, method: Enum) -> tuple[Option, ...]:
        """The settings offered on that page that are changed, although they have no effect with that method."""
        changed = self.to_dict()
        items = options(type(self)).values()
        return tuple(
            item for item in items if item.name in changed and page in item.offered and method not in item.offered[page]
        )

    def effective(self, page: Enum, method: Enum) -> Self:
        """The same settings with those of `without_effect` at their defaults."""
        return self.changed(**{item.name: item.default for item in self.without_effect(page, method)})

    def _model_options(self) -> list[Option]:
        known = options(type(self))
        return [known[item.name] for item in dataclasses.fields(self) if known[item.name].names_model]


def _names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) * bool(value)
