"""Axes of the X/Y/Z plot. An axis marks the parameters of its cell; what a mark means is up to each script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import plan_redraw
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.settings.fields import Kind, Option
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.host import console
from lib_upscale.webui.host.patching import Marks
from lib_upscale.webui.host.scripts import xyz_plot
from lib_upscale.webui.ui.values import offered

__all__ = ["Axes", "Axis", "setting_axes"]

_Apply = Callable[[Any, Any, Any], None]
"""(cell, value, all values): what the plot calls."""
_Choices = Callable[[], list[str]]
_Check = Callable[[Any], object]
"""Raises what is wrong with a value."""


@dataclass(frozen=True)
class Axis:
    """One axis."""

    label: str
    name: str
    """Of the setting, or of the host's parameter."""
    kind: type
    """int, float or str: how the plot reads what a person writes."""
    choices: _Choices | None = None
    check: _Check | None = None
    """Asked of every value before the plot begins, as the host does with its own."""


def setting_axes(page: Enum, models: _Choices, check_model: Callable[[str], object]) -> list[Axis]:
    """The axes that the settings of redraws have on a page.

    Args:
        page: The page.
        models: Lists what can be chosen where a model is named.
        check_model: Raises what is wrong with a model of that name.
    """
    return [_axis(item, models, check_model) for item in offered(RedrawSettings, page).values() if item.axis]


def _axis(item: Option, models: _Choices, check_model: Callable[[str], object]) -> Axis:
    kind = {Kind.WHOLE: int, Kind.DECIMAL: float}.get(item.kind, str)
    if item.names_model:
        return Axis(item.label, item.name, kind, models, check_model)
    choices = (lambda: item.values) if item.kind is Kind.CHOICE else None
    return Axis(item.label, item.name, kind, choices, partial(_check_value, item.name))


def _check_value(name: str, value: object) -> None:
    """Raise `SettingsError` for a value that can't be right, whatever the other axes are."""
    settings = RedrawSettings.from_dict({name: value})
    if name == "tile":
        any_image = Size(256, 256)
        plan_redraw(any_image, settings.changed(overlap=0), native=settings.tile or 512, multiple=LATENT, strength=1.0)


@dataclass(frozen=True)
class Axes:
    """The axes of one script."""

    title: str
    """In brackets, before every label."""
    option: str
    """Which of the plot's classes of options they are: for txt2img or for img2img."""
    settings: Sequence[Axis]
    fields: Sequence[Axis] = ()
    """Axes along the host's own parameters, in cells that are ours all the same."""
    _marks: Marks[Mapping[str, Any]] = field(default_factory=Marks, init=False, repr=False)
    """Cell -> the values of its axes, from when the plot makes it until its generation begins."""

    def add(self) -> None:
        """Add them to the host's script, once, also after the page was reloaded."""
        plot = _plot()
        if plot is None:
            return
        self.remove()
        make = _option_class(plot, self.option)
        for axes, applier in ((self.settings, self._set), (self.fields, self._set_field)):
            for axis in axes:
                label = self._label(axis.label)
                confirm = None if axis.check is None else _confirm(axis.check)
                plot.axis_options.append(
                    make(label, axis.kind, applier(axis.name), confirm=confirm, choices=axis.choices)
                )

    def remove(self) -> None:
        """Take them out again."""
        plot = _plot()
        if plot is not None:
            plot.axis_options[:] = [axis for axis in plot.axis_options if not axis.label.startswith(self._label(""))]

    def marked(self, p: object) -> Mapping[str, Any] | None:
        """Take the mark off the cell `p`: name of a setting -> its value; None for a cell along no axis of ours."""
        return self._marks.take(p)

    def _label(self, label: str) -> str:
        return f"[{self.title}] {label}"

    def _set(self, name: str) -> _Apply:
        return lambda p, value, _: self._mark(p, {name: value})

    def _set_field(self, name: str) -> _Apply:
        def apply(p: Any, value: Any, _: Any) -> None:
            setattr(p, name, value)
            self._mark(p, {})

        return apply

    def _mark(self, p: object, values: Mapping[str, Any]) -> None:
        self._marks.put(p, {**(self._marks.get(p) or {}), **values})


def _confirm(check: _Check) -> Callable[[Any, Sequence[Any]], None]:
    """What the plot calls with a cell and all values of the axis."""

    def confirm(_: Any, values: Sequence[Any]) -> None:
        for value in values:
            check(value)

    return confirm


def _option_class(plot: Any, name: str) -> Any:
    """One of the plot's classes of options. Forge Classic's module has options of that class, and no name for it."""
    found = (type(option) for option in plot.axis_options if type(option).__name__ == name)
    return getattr(plot, name, None) or next(found)


def _plot() -> Any:
    """The module of the host's X/Y/Z plot."""
    plot = xyz_plot()
    if plot is None:
        console.say("X/Y/Z plot was not found: no axes were added")
    return plot
