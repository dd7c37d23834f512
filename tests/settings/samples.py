"""Settings in which one field differs from its default, for every field: what each door has to let through.

It needs neither pytest nor hypothesis, as the checks inside a host use it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lib_upscale.settings.fields import Group, Kind, Option, options
from lib_upscale.settings.target import TargetKind, TargetSettings

TEXTS = {
    "padding": ["#fff", "#102030"],
    "strengths": ["0.25", " 1 "],
    "regions": ["0, 0, 50, 100: an oak, tall", "0,0,50,50: a\n50,0,100,50: b"],
}
"""Values of texts that have a form to keep to."""


def companions(settings: type[TargetSettings], item: Option) -> dict[str, Any]:
    """What has to be set as well for a field to count in a page: the size of a box, the model that is blended in."""
    values: dict[str, Any] = {item.needs: "x"} if item.needs else {}
    if any(item.name in kind.sizes for kind in TargetKind):
        return values
    if item.group is Group.TARGET:
        return {**values, "width": 300, "height": 200}
    return {**values, "scale": 2.0}


def samples(settings: type[TargetSettings], item: Option) -> list[Any]:
    """Some values of a field: its limits, all its choices, and texts that are hard to write down."""
    if item.choices is not None:
        return list(item.choices)
    if item.kind is Kind.SWITCH:
        return [True, False]
    if item.kind is Kind.LIST:
        return [("4x_a, b: c.pth",), ("a", "b")]
    if item.kind is Kind.TEXT:
        return TEXTS.get(item.name, ["x", '4x "quoted", \u00fc', "-1"])
    assert item.minimum is not None
    assert item.maximum is not None
    least = 64 if item.name == "tile" else item.minimum  # a redraw's tiles are no smaller
    middle = (least + item.maximum) / 2
    kind: Callable[[float], Any] = int if item.kind is Kind.WHOLE else float
    values = [kind(number) for number in (least, middle, item.maximum)]
    return [None, *values] if item.automatic else values


def all_samples(settings: type[TargetSettings]) -> Iterator[TargetSettings]:
    """Settings for every sample of every field."""
    for item in options(settings).values():
        for value in samples(settings, item):
            yield settings(**{**companions(settings, item), item.name: value})
