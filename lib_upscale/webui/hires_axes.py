"""X/Y/Z plot: axes for the section "Hires fix plus". A cell along one of them has the section switched on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib_upscale.redraw_settings import Method, RedrawSettings, VaeMode
from lib_upscale.webui.hires import TITLE, HiresWish
from lib_upscale.webui.redraw_axes import plot

__all__ = ["add_axes", "remove_axes", "with_axes"]

_MARK = "upscale_plus_hires_axes"
_PREFIX = f"[{TITLE}] "

_AXES: Sequence[tuple[str, str, type, Callable[[], list[str]] | None]] = (
    ("Method", "method", str, lambda: [each.value for each in Method]),
    ("Tile", "tile", int, None),
    ("Overlap", "overlap", int, None),
    ("VAE", "vae", str, lambda: [each.value for each in VaeMode]),
)


def add_axes() -> None:
    """Add them to the host's script; again after the page was reloaded."""
    theirs = plot()
    if theirs is None:
        return
    remove_axes()
    for label, name, kind, choices in _AXES:
        theirs.axis_options.append(theirs.AxisOptionTxt2Img(_PREFIX + label, kind, _applier(name), choices=choices))


def remove_axes() -> None:
    """Take them out again."""
    theirs = plot()
    if theirs is not None:
        theirs.axis_options[:] = [each for each in theirs.axis_options if not each.label.startswith(_PREFIX)]


def with_axes(p: Any, wish: HiresWish) -> HiresWish:
    """What is asked of the cell `p` of a plot; the same wish outside of one. Raises `SettingsError`."""
    marked = vars(p).pop(_MARK, None)
    if marked is None:
        return wish
    settings = RedrawSettings.from_dict({**wish.settings.to_dict(), "method": wish.settings.method.value, **marked})
    return HiresWish(True, settings)


def _applier(name: str) -> Callable[[Any, Any, Any], None]:
    def apply(p: Any, value: Any, _: Any) -> None:
        setattr(p, _MARK, {**getattr(p, _MARK, {}), name: value})

    return apply
