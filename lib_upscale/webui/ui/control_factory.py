"""Gradio controls made from settings: each with its label, id, tooltip and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import AUTOMATIC, Kind, Option, options
from lib_upscale.settings.target import TargetKind, TargetSettings
from lib_upscale.webui.host import environment
from lib_upscale.webui.ui.values import first_value, target_kinds

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["ControlFactory", "show_target_rows"]


_PICKED_FIRST = "#808080"
"""What a color picker shows at first: choosing what it shows already is no choice to gradio."""


class ControlFactory:
    """Makes the controls of one page."""

    def __init__(
        self,
        prefix: str,
        settings: type[Settings],
        choices: Mapping[str, Sequence[str]] | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare a page.

        Args:
            prefix: What the id of every control begins with.
            settings: The class of the settings.
            choices: What can be chosen, by field: for all settings that name models, and for those of which this host
                has not all values.
            values: What controls begin with where that differs from the settings' own defaults.
        """
        self._prefix = prefix
        self._known = options(settings)
        self._choices, self._values = choices or {}, values or {}

    def setting(self, name: str) -> Component:
        """The control of a setting, as its kind asks. Beside one that may be a color there is a color picker."""
        item = self._known[name]
        value = self._values.get(name, first_value(item))
        kind, arguments = self._component(item)
        control = self._make(kind, name, item.label, item.explanation, value=value, **arguments)
        if item.is_color:
            self._add_color_picker(item, control)
        return control

    def rows(self, items: Iterable[Option]) -> dict[str, Component]:
        """The controls of settings by name, each group in a row."""
        made: dict[str, Component] = {}
        for _, group in groupby(items, key=lambda item: item.group):
            with gr.Row():
                made.update({item.name: self.setting(item.name) for item in group})
        return made

    def fold(self) -> AbstractContextManager[Any]:
        """The fold for what hardly anybody changes."""
        accordion: AbstractContextManager[Any] = gr.Accordion("Details", open=False, elem_id=f"{self._prefix}_details")
        return accordion

    def targets(self, settings: type[TargetSettings]) -> tuple[dict[str, Component], list[Component]]:
        """The controls of the target, and a row for each kind of it, of which `show_target_rows` shows one."""
        made: dict[str, Component] = {}
        rows: list[Component] = []
        for kind in target_kinds(settings):
            if kind.sizes:
                with gr.Row(visible=kind is TargetKind.FACTOR) as row:
                    made.update({name: self.setting(name) for name in settings.target_fields(kind)})
                rows.append(row)
        return made, rows

    def choice(self, name: str, label: str, tip: str, choices: Sequence[str], value: str | None) -> Component:
        """A list that is no setting."""
        return self._make(gr.Dropdown, name, label, tip, choices=list(choices), value=value)

    def check(self, name: str, label: str, tip: str, value: bool) -> Component:
        """A checkbox that is no setting."""
        return self._make(gr.Checkbox, name, label, tip, value=value)

    def number(self, name: str, label: str, tip: str, value: int) -> Component:
        """A field for a whole number that is no setting."""
        return self._make(gr.Number, name, label, tip, value=value, precision=0)

    def button(self, name: str, text: str, tip: str) -> Component:
        """A small button."""
        tooltip = {"tooltip": tip} if environment.has_tooltips() else {}
        classes = ["tool", "upscale-plus-tool"]
        button: Component = gr.Button(text, elem_id=f"{self._prefix}_{name}", elem_classes=classes, **tooltip)
        return button

    def _component(self, item: Option) -> tuple[Callable[..., Component], dict[str, Any]]:
        """Which component shows a setting, and its own arguments."""
        if item.names_model or item.name in self._choices:
            return gr.Dropdown, {"choices": list(self._choices[item.name])}
        if item.kind is Kind.CHOICE:
            return gr.Dropdown, {"choices": item.values}
        if item.kind is Kind.SWITCH:
            return gr.Checkbox, {}
        if item.automatic:
            # An emptied gr.Number tells nobody of its change, in gradio 3 and 4 alike; a text field does.
            return gr.Textbox, {"placeholder": AUTOMATIC, "max_lines": 1}
        if item.slider is not None:
            low, high = item.slider
            return gr.Slider, {"minimum": low, "maximum": high, "step": item.step}
        if item.is_number:
            return gr.Number, {"precision": 0} if item.kind is Kind.WHOLE else {}
        return gr.Textbox, {"lines": item.lines}

    def _add_color_picker(self, item: Option, control: Component) -> None:
        label, tip = f"{item.label}: color", f"Writes a color into {item.label}."
        picker = self._make(gr.ColorPicker, f"{item.name}_color", label, tip, value=_PICKED_FIRST)
        picker.input(lambda color: color, inputs=[picker], outputs=[control], show_progress=False)

    def _make(self, kind: Callable[..., Component], name: str, label: str, tip: str, **arguments: object) -> Component:
        tooltip = {"tooltip": tip} if environment.has_tooltips() else {"info": tip}
        return kind(label=label, elem_id=f"{self._prefix}_{name}", **tooltip, **arguments)


def show_target_rows(settings: type[TargetSettings], chosen: str | None) -> list[object]:
    """Updates of the rows of `ControlFactory.targets` that show the kind of target that was chosen."""
    return [gr.update(visible=kind.value == chosen) for kind in target_kinds(settings) if kind.sizes]
