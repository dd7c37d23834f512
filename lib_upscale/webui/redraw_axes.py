"""X/Y/Z plot: axes for tile, overlap, strength of flat tiles, order, blend, upscaler and colour lock.

The plot is a script of the Script dropdown itself, so ours is not chosen while it runs: an axis marks the parameters
of its cell, and the script's always-on half then redraws that cell, with the page's other controls as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from lib_upscale.redraw_settings import Blend, ColourLock, Mode, Order
from lib_upscale.webui import host, redraw, redraw_page, registry

__all__ = ["add_axes", "plot", "redraw_cell", "remove_axes"]

_MARK = "upscale_plus_axes"
_PREFIX = f"[{redraw.TITLE}] "

_AXES: Sequence[tuple[str, str, type, Callable[[], list[str]] | None]] = (
    ("Tile", "tile", int, None),
    ("Overlap", "overlap", int, None),
    ("Scale", "scale", float, None),
    ("Strength for flat tiles", "flat_strength", float, None),
    ("Skip flat tiles", "skip_flat", float, None),
    ("Order", "order", str, lambda: [each.value for each in Order]),
    ("Mode", "mode", str, lambda: [each.value for each in Mode]),
    ("Blend", "blend", str, lambda: [each.value for each in Blend]),
    ("Colour lock", "colour_lock", str, lambda: [each.value for each in ColourLock]),
    ("Upscaler", "upscaler", str, registry.names),
)
_STRENGTH = "Strength"


def add_axes() -> None:
    """Add them to the host's script; again after the page was reloaded."""
    theirs = plot()
    if theirs is None:
        return
    remove_axes()
    make = theirs.AxisOptionImg2Img
    for label, name, kind, choices in _AXES:
        theirs.axis_options.append(make(_PREFIX + label, kind, _applier(name), choices=choices))
    theirs.axis_options.append(make(_PREFIX + _STRENGTH, float, _apply_strength))


def remove_axes() -> None:
    """Take them out again."""
    theirs = plot()
    if theirs is not None:
        theirs.axis_options[:] = [each for each in theirs.axis_options if not each.label.startswith(_PREFIX)]


def redraw_cell(p: Any, script: Any) -> None:
    """Redraw the cell `p`, if an axis of ours has marked it; `script` is ours in the dropdown."""
    marked = vars(p).pop(_MARK, None)
    if marked is None:
        return
    part = (p.script_args or ())[script.args_from : script.args_to] if script.args_from is not None else ()
    page = dict(zip(redraw_page.FIELDS, part, strict=False))
    if "scale" in marked:
        page["target"] = redraw_page.Target.FACTOR.value
    redraw.arm(p, redraw_page.wish_of({**page, **marked, "test": False}))


def _applier(name: str) -> Callable[[Any, Any, Any], None]:
    def apply(p: Any, value: Any, _: Any) -> None:
        setattr(p, _MARK, {**getattr(p, _MARK, {}), name: value})

    return apply


def _apply_strength(p: Any, value: Any, _: Any) -> None:
    p.denoising_strength = value
    setattr(p, _MARK, dict(getattr(p, _MARK, {})))


def plot() -> Any:
    """The module of the host's X/Y/Z plot. Scripts are not among the loaded modules by name."""
    from modules import scripts

    for data in scripts.scripts_data:
        if data.script_class.__module__ == "xyz_grid.py" and hasattr(data.module, "axis_options"):
            return data.module
    if "xyz_grid" not in sys.modules:
        host.say("X/Y/Z plot was not found: no axes were added")
    return None
