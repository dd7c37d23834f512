"""X/Y/Z plot: axes for the section "Hires fix plus". A cell along one of them has the section switched on."""

from __future__ import annotations

from typing import Any

from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings, VaeMode
from lib_upscale.webui.hires_fix.second_pass import TITLE, HiresRequest
from lib_upscale.webui.ui.xyz_axes import Axes

__all__ = ["AXES", "with_axes"]

AXES = Axes(
    TITLE,
    "AxisOptionTxt2Img",
    (
        ("Method", "method", str, lambda: [each.value for each in RedrawMethod]),
        ("Tile", "tile", int, None),
        ("Overlap", "overlap", int, None),
        ("VAE", "vae", str, lambda: [each.value for each in VaeMode]),
    ),
)


def with_axes(p: Any, request: HiresRequest) -> HiresRequest:
    """What is asked of the cell `p` of a plot; the same wish outside of one. Raises `SettingsError`."""
    marked = AXES.marked(p)
    if marked is None:
        return request
    return HiresRequest(True, RedrawSettings.from_dict({**request.settings.to_dict(), **marked}))
