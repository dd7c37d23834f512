"""X/Y/Z plot: axes of ours. Each marks the parameters of its cell; what a mark means is each script's own affair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib_upscale.webui.host import console
from lib_upscale.webui.host.patching import Marks
from lib_upscale.webui.host.scripts import xyz_plot

__all__ = ["Axes", "Axis"]

_Apply = Callable[[Any, Any, Any], None]
"""(cell, value, all values): what the plot calls."""

Axis = tuple[str, str, type, Callable[[], list[str]] | None]
"""Label, name of the setting, kind of its values, and what to choose from."""


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
        make = getattr(plot, self.option)
        for axes, applier in ((self.settings, self._set), (self.fields, self._set_field)):
            for label, name, kind, choices in axes:
                plot.axis_options.append(make(self._label(label), kind, applier(name), choices=choices))

    def remove(self) -> None:
        """Take them out again."""
        plot = _plot()
        if plot is not None:
            plot.axis_options[:] = [each for each in plot.axis_options if not each.label.startswith(self._label(""))]

    def marked(self, p: object) -> Mapping[str, Any] | None:
        """Name of a setting -> its value, where the cell `p` lies along any of them; it is not marked any more then."""
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


def _plot() -> Any:
    """The module of the host's X/Y/Z plot."""
    plot = xyz_plot()
    if plot is None:
        console.say("X/Y/Z plot was not found: no axes were added")
    return plot
