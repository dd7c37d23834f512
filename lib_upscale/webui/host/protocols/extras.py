"""What is relied on of the WebUI's Extras tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PIL import Image

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["HostPostprocessed", "HostPostprocessor"]


class _Target(Protocol):
    target_width: int
    target_height: int


class HostPostprocessed(Protocol):
    """An image on its way through the Extras tab, `pp`."""

    image: Image.Image
    info: dict[str, object]
    """What goes into its infotext."""
    shared: _Target
    """The size it is going to have, told to the postprocessors."""


class HostPostprocessor(Protocol):
    """A script of the Extras tab."""

    name: str
    args_from: int
    args_to: int
    controls: dict[str, Component] | None
    """Its components by name."""
