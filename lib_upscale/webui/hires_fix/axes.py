"""Axes of the X/Y/Z plot for the section "Hires fix plus". A cell along one of them has the section switched on."""

from __future__ import annotations

from lib_upscale.settings.redraw import Page, RedrawSettings
from lib_upscale.webui.hires_fix.second_pass import TITLE, HiresRequest
from lib_upscale.webui.ui.xyz_axes import Axes, setting_axes
from lib_upscale.webui.upscalers import registry

__all__ = ["AXES", "with_axes"]

AXES = Axes(TITLE, "AxisOptionTxt2Img", setting_axes(Page.HIRES, registry.names, registry.check))


def with_axes(p: object, request: HiresRequest) -> HiresRequest:
    """The request for the cell `p` of a plot; `request` itself outside of one. Raises `SettingsError`."""
    marked = AXES.marked(p)
    if marked is None:
        return request
    return HiresRequest(True, RedrawSettings.from_dict({**request.settings.to_dict(), **marked}))
