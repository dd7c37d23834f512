"""X/Y/Z plot: axes for tile, overlap, strength of flat tiles, order, blend, upscaler and color lock.

The plot is a script of the Script dropdown itself, so ours is not chosen while it runs: an axis marks the parameters
of its cell, and the script's always-on half then redraws that cell, with the page's other controls as they are.
"""

from __future__ import annotations

from typing import Any

from lib_upscale.settings.redraw import Blend, ColorLock, TileContext, TileOrder
from lib_upscale.webui.sd_upscale import page as redraw_page
from lib_upscale.webui.sd_upscale.job import install
from lib_upscale.webui.sd_upscale.progress_bar import TileCounter
from lib_upscale.webui.sd_upscale.request import TITLE
from lib_upscale.webui.ui.xyz_axes import Axes
from lib_upscale.webui.upscalers import registry

__all__ = ["AXES", "redraw_cell"]

AXES = Axes(
    TITLE,
    "AxisOptionImg2Img",
    (
        ("Tile", "tile", int, None),
        ("Overlap", "overlap", int, None),
        ("Scale", "scale", float, None),
        ("Strength for flat tiles", "flat_strength", float, None),
        ("Skip flat tiles", "skip_flat", float, None),
        ("Order", "order", str, lambda: [each.value for each in TileOrder]),
        ("Mode", "mode", str, lambda: [each.value for each in TileContext]),
        ("Blend", "blend", str, lambda: [each.value for each in Blend]),
        ("Color lock", "color_lock", str, lambda: [each.value for each in ColorLock]),
        ("Upscaler", "upscaler", str, registry.names),
    ),
    fields=(("Strength", "denoising_strength", float, None),),
)


def redraw_cell(p: Any, script: Any, counter: TileCounter) -> None:
    """Redraw the cell `p`, if an axis of ours has marked it; `script` is ours in the dropdown."""
    marked = AXES.marked(p)
    if marked is None:
        return
    part = (p.script_args or ())[script.args_from : script.args_to] if script.args_from is not None else ()
    page = dict(zip(redraw_page.FIELDS, part, strict=False))
    if "scale" in marked:
        page["target"] = redraw_page.Target.FACTOR.value
    install(p, redraw_page.parse_request({**page, **marked, "test": False}), counter)
