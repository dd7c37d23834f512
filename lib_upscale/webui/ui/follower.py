"""Has an answer follow the controls of a page: it belongs to their values of now, however fast those change.

gradio 3 drops an event whose function still runs, and answers to the events of several controls come in any order. So
controls tell the page's script alone (javascript/upscale_plus.js), which presses a hidden button after a pause, and
again where something changed before its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_upscale.webui.host.page import javascript

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["Follower"]


class Follower:
    """One answer. It is made inside the gradio context of the page, where its hidden button lies.

    Args:
        name: Its name on the page; the ids of controls that it depends on may begin with it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._button = gr.Button(visible=False, elem_id=f"{name}_ask")

    def listen(self, *events: Callable[..., Any]) -> None:
        """Ask for the answer again after these events."""
        for event in events:
            event(None, **self.script)

    @property
    def script(self) -> dict[str, str]:
        """The arguments of an event, beside the function None, that has the answer asked for."""
        return self._tell("changed")

    def answer(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Component],
        outputs: Sequence[Component],
        prepare: str = "",
        next_one: Follower | None = None,
    ) -> None:
        """Say how the answer is made.

        Args:
            function: Makes it of the inputs' values.
            inputs: What it depends on.
            outputs: Where it is shown.
            prepare: A function of JavaScript that changes the inputs' values before they are sent.
            next_one: What depends on the answer.
        """
        script = javascript(prepare, len(inputs)) if prepare else {}
        pressed = self._button.click(
            function, inputs=list(inputs), outputs=list(outputs), show_progress=False, **script
        )
        pressed.then(None, **self._tell("answered"))
        if next_one is not None:
            pressed.then(None, **next_one.script)

    def _tell(self, what: str) -> dict[str, str]:
        return javascript(f"() => {{ globalThis.upscalePlus?.{what}('{self._name}'); return []; }}", 0)
