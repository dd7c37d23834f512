"""What is known of one setting: its presentation, limits, where it acts, and how a value of it is read.

Controls, command line, API, infotext, plots and journal keys are made from this; none of them lists settings.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, get_origin, get_type_hints

from lib_upscale.errors import SettingsError

__all__ = ["AUTOMATIC", "Group", "Kind", "Option", "check_numbers", "option", "options"]

AUTOMATIC = "automatic"
"""The word for a value that the program chooses. In the library such a value is None."""

_KNOWN: dict[type[Any], Mapping[str, Option]] = {}
"""What `options` has read already."""
_AUTOMATIC_WORDS = ("", "auto", AUTOMATIC)
_AUTOMATIC_NUMBERS = (0, -1)
"""How version 0.1.0 wrote automatic, where these numbers lie below the limits of a setting."""


class Kind(Enum):
    """What sort of value a setting has."""

    TEXT = auto()
    WHOLE = auto()
    """An int."""
    DECIMAL = auto()
    """A float."""
    SWITCH = auto()
    """A bool."""
    CHOICE = auto()
    """A member of an `Enum` whose values are text."""
    LIST = auto()
    """A tuple of text."""


class Group(Enum):
    """Settings that stand together. The order of the groups is their order on pages, in the API and in `--help`."""

    UPSCALER = auto()
    TARGET = auto()
    METHOD = auto()
    BEFORE = auto()
    SECOND = auto()
    LATENT = auto()
    ORDER = auto()
    DETAIL = auto()
    PASSES = auto()
    PROMPTS = auto()
    REGIONS = auto()
    FINISH = auto()
    OUTPUT = auto()
    COMPUTE = auto()
    MEMORY = auto()
    AFTER = auto()

    @property
    def folded(self) -> bool:
        """Whether pages hide it in a fold."""
        return self not in (Group.UPSCALER, Group.TARGET, Group.METHOD, Group.BEFORE, Group.SECOND)


@dataclass(frozen=True)
class Option:
    """Everything that is known of one setting."""

    label: str
    """A few words, as a control's label."""
    tip: str
    """What it does and when to change it: whole sentences, without what is automatic."""
    group: Group
    infotext: str
    """Its key in an image's generation parameters, after the prefix. It never changes, whatever becomes of the label.

    Letters, digits, spaces and hyphens only, as the WebUI reads no others.
    """
    former_infotext: tuple[str, ...] = ()
    """Keys that older versions wrote; they are read, never written."""
    minimum: float | None = None
    """The least value. Every settings object keeps to it."""
    maximum: float | None = None
    step: float | None = None
    """By how much a control changes it."""
    slider: tuple[float, float] | None = None
    """The range of a page's slider, inside the limits; None: a field to type into."""
    suggestion: float | None = None
    """What a page's field begins with where the default is to have no value."""
    lines: int = 1
    """How many lines a text usually has."""
    is_color: bool = False
    """Whether its text may be a color such as "#202020": a page has a color picker beside it."""
    automatic: str = ""
    """A sentence that says what automatic chooses; "" where nothing is automatic. Such a setting is None by default."""
    offered: Mapping[Enum, tuple[Enum, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Page -> the methods in which the setting has an effect there. Pages that are left out do not offer it."""
    axis: bool = False
    """Whether an X/Y/Z plot can vary it."""
    changes_result: bool = True
    """Whether results differ with it: if not, finished work stays valid when it changes."""
    on_settings_page: bool = False
    """Whether the WebUI's settings page has it too, for places without controls: a choice, or a number that may be
    automatic."""
    names_model: bool = False
    """Whether its text names a model, or each of its list does."""
    needs: str = ""
    """The field without which it has no effect, or ""."""
    name: str = ""
    """The name of the field. This and all below is filled in by `options`."""
    kind: Kind = Kind.TEXT
    default: Any = None
    choices: type[Enum] | None = None
    """The enum whose member it is, for the kind CHOICE."""

    @property
    def values(self) -> list[str]:
        """What can be chosen, for the kind CHOICE."""
        return [] if self.choices is None else [str(member.value) for member in self.choices]

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in infotext, the one that is written first."""
        return self.infotext, *self.former_infotext

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in (Kind.WHOLE, Kind.DECIMAL)

    @property
    def explanation(self) -> str:
        """The tip, with what automatic chooses."""
        return f"{self.tip} {self.automatic}".strip()

    @property
    def plain_default(self) -> Any:
        """The default as a plain value: text, number, list or None."""
        return to_plain(self.default)

    @property
    def default_text(self) -> str:
        """The default in words; "" where there is none."""
        if self.automatic:
            return AUTOMATIC
        return "" if self.default in (None, "", ()) else str(self.plain_default)

    def parse(self, value: Any) -> Any:
        """Read a plain value, such as one of JSON.

        Returns:
            The value as the settings object holds it; None for automatic, however it is spelled.

        Raises:
            SettingsError: The value is of another kind.
        """
        if self.is_automatic(value):
            return None
        if self.kind is Kind.LIST:
            return _parse_names(value, self.label)
        if self.choices is not None:
            return _parse_choice(self.choices, value, self.label)
        if self.kind is Kind.TEXT:
            if not isinstance(value, str):
                raise SettingsError(f"{self.label} must be text, not {value!r}")
            return value
        return _parse_number(self.kind, value, self.label, f" or {AUTOMATIC}" if self.automatic else "")

    def parse_text(self, text: str) -> Any:
        """The plain value behind a text of the infotext, as `parse` takes it."""
        if self.kind in (Kind.TEXT, Kind.CHOICE):
            return text
        try:
            return json.loads(text)
        except ValueError:
            return text

    def is_automatic(self, value: Any) -> bool:
        """Whether a plain value stands for automatic: a word for it, or a number as version 0.1.0 wrote it."""
        if not self.automatic:
            return False
        if isinstance(value, str):
            return value.strip().lower() in _AUTOMATIC_WORDS
        usual = isinstance(value, (int, float)) and not isinstance(value, bool)
        return usual and value in _AUTOMATIC_NUMBERS and self.minimum is not None and value < self.minimum


def option(default: Any, label: str, tip: str, group: Group, infotext: str, **more: Any) -> Any:
    """A dataclass field that carries an `Option`; `more` are its other attributes by name."""
    return field(default=default, metadata={"option": Option(label, tip, group, infotext, **more)})


def options(settings: type[Any]) -> Mapping[str, Option]:
    """Every setting of a class by the name of its field, group by group."""
    if settings not in _KNOWN:
        _KNOWN[settings] = _read_fields(settings)
    return _KNOWN[settings]


def _read_fields(settings: type[Any]) -> Mapping[str, Option]:
    hints = get_type_hints(settings)
    complete = [_complete(item, hints[item.name]) for item in dataclasses.fields(settings)]
    order = list(Group)
    return MappingProxyType({item.name: item for item in sorted(complete, key=lambda item: order.index(item.group))})


def check_numbers(settings: Any) -> None:
    """Raise `SettingsError` for a number outside the limits of its setting."""
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


def to_plain(value: Any) -> Any:
    """A setting's value as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def to_text(value: Any) -> str:
    """A plain value as infotext has it."""
    # Lists are JSON: names of models may hold any character, and infotext quotes what needs quoting.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _complete(item: dataclasses.Field[Any], hint: Any) -> Option:
    known: Option = item.metadata["option"]
    kind, choices = _kind_of(hint)
    return dataclasses.replace(known, name=item.name, kind=kind, default=item.default, choices=choices)


def _kind_of(hint: Any) -> tuple[Kind, type[Enum] | None]:
    """The kind behind a type hint, and the enum of a choice."""
    if get_origin(hint) is tuple:
        return Kind.LIST, None
    plain = next(part for part in getattr(hint, "__args__", (hint,)) if part is not type(None))
    if issubclass(plain, Enum):
        return Kind.CHOICE, plain
    return {str: Kind.TEXT, int: Kind.WHOLE, float: Kind.DECIMAL, bool: Kind.SWITCH}[plain], None


def _parse_names(value: Any, label: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise SettingsError(f"{label} must be a list of names, not {value!r}")
    return tuple(item for item in items if item)


def _parse_choice(kind: type[Enum], value: Any, label: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise SettingsError(f"{label} can't be {value!r}", f"it is one of {known}") from None


def _parse_number(kind: Kind, value: Any, label: str, alternative: str) -> int | float | bool:
    if kind is Kind.SWITCH and isinstance(value, bool):
        return value
    if kind is Kind.SWITCH:
        raise SettingsError(f"{label} must be true or false, not {value!r}")
    whole = kind is Kind.WHOLE
    usual = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not usual or (whole and (not math.isfinite(value) or value != int(value))):
        raise SettingsError(f"{label} must be a {'whole ' if whole else ''}number{alternative}, not {value!r}")
    return int(value) if whole else float(value)
