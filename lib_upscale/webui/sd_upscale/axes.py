"""Axes of the X/Y/Z plot for the script "SD upscale plus".

The plot is a script of the Script dropdown itself, so ours is not chosen while it runs: an axis marks the parameters
of its cell, and the script's always-on half then redraws that cell, with the page's other controls as they are.
"""

from __future__ import annotations

from lib_upscale.errors import SettingsError
from lib_upscale.settings.redraw import Page
from lib_upscale.settings.target import TargetKind
from lib_upscale.webui.host.protocols import HostImg2Img, HostScript
from lib_upscale.webui.sd_upscale import page as redraw_page
from lib_upscale.webui.sd_upscale.job import install
from lib_upscale.webui.sd_upscale.request import TITLE
from lib_upscale.webui.ui.xyz_axes import Axes, Axis, setting_axes
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.enlarger import resolve_name

__all__ = ["AXES", "redraw_cell"]


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise SettingsError(f"Denoising strength {strength:g} is not possible", "choose 0 to 1")


AXES = Axes(
    TITLE,
    "AxisOptionImg2Img",
    setting_axes(Page.SCRIPT, registry.names, lambda name: registry.check(resolve_name(name))),
    fields=(Axis("Strength", "denoising_strength", float, check=_check_strength),),
)


def redraw_cell(p: HostImg2Img, script: HostScript) -> None:
    """Redraw the cell `p`, if an axis of ours has marked it; `script` is ours in the dropdown."""
    marked = AXES.marked(p)
    if marked is None:
        return
    part = (p.script_args_value or ())[script.args_from : script.args_to] if script.args_from is not None else ()
    page = dict(zip(redraw_page.FIELDS, part, strict=False))
    for kind in TargetKind:
        if any(name in marked for name in kind.sizes):
            page["target"] = kind.value
    install(p, redraw_page.parse_request({**page, **marked, "test": False}))
