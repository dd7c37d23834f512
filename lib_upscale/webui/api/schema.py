"""Request models made from settings, on pydantic 1 and 2 alike."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, List, Literal, Optional, Union  # noqa: UP035 (pydantic 1 reads these at run time)

import pydantic
from pydantic import BaseModel, Field, create_model

from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import AUTOMATIC, Kind, Option, options

__all__ = ["request_model", "request_values"]

_IS_PYDANTIC_2 = hasattr(BaseModel, "model_validate")
_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.WHOLE: int,
    Kind.DECIMAL: float,
    Kind.SWITCH: bool,
    Kind.LIST: List[str],  # noqa: UP006
}


class _Strict:
    """A pydantic 1 configuration: unknown fields are a mistake of the caller."""

    extra = "forbid"


def request_model(name: str, settings: type[Settings], more: Mapping[str, Any]) -> Any:
    """A pydantic model of everything in `settings`, each None by default, and of `more` fields of its own.

    Args:
        name: What the model is called on the API's page.
        settings: The class of the settings: name, type, limits and description of each field come from there.
        more: Name -> (type, default or `Field`), as pydantic's `create_model` takes them.
    """
    fields = {item.name: (Optional[_type(item)], _field(item)) for item in options(settings).values()}  # noqa: UP045
    return create_model(
        name,
        __config__={"extra": "forbid"} if _IS_PYDANTIC_2 else _Strict,
        __validators__={"read_automatic": _validator(settings)},
        **more,
        **fields,
    )


def request_values(request: Any) -> dict[str, Any]:
    """The fields of a request as plain values."""
    values = request.model_dump() if _IS_PYDANTIC_2 else request.dict()
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def _validator(settings: type[Settings]) -> Any:
    """What reads automatic in all its spellings before pydantic looks at the numbers."""

    def read_automatic(cls: Any, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = options(settings)
        return {
            name: AUTOMATIC if name in known and known[name].is_automatic(value) else value
            for name, value in values.items()
        }

    if _IS_PYDANTIC_2:
        return pydantic.model_validator(mode="before")(read_automatic)
    return pydantic.root_validator(pre=True, allow_reuse=True)(read_automatic)


def _type(item: Option) -> Any:
    """The type of a field, and its limits where automatic is another value than a number."""
    if item.choices is not None:
        return item.choices
    if not item.automatic:
        return _TYPES[item.kind]
    limited = pydantic.conint if item.kind is Kind.WHOLE else pydantic.confloat
    return Union[limited(**_limits(item)), Literal["automatic"]]  # noqa: UP007


def _field(item: Option) -> Any:
    limits = {} if item.automatic else _limits(item)
    text = f"{item.explanation} Default: {item.default_text or 'none'}."
    return Field(None, title=item.label, description=text, **limits)


def _limits(item: Option) -> dict[str, Any]:
    return {key: value for key, value in (("ge", item.minimum), ("le", item.maximum)) if value is not None}
