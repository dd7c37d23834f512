"""Checks what hires fix is given before the first pass, so that what can't be done wastes no time."""

from __future__ import annotations

from lib_upscale.webui.host.protocols import HostTxt2Img
from lib_upscale.webui.host.refuse import clear_failure, fail_at_start
from lib_upscale.webui.upscalers import registry

__all__ = ["check_upscaler", "complete_modules"]

_CHECK = "hires upscaler"
_SAME_MODULES = ("Use same choices",)
"""What the host's own page sends."""


def complete_modules(p: HostTxt2Img) -> None:
    """Name the second pass's modules where the API has left them out: Forge and Forge Neo look into a list of them.

    They have `hr_additional_modules`, None by default, and fail with a TypeError after the first pass.
    """
    if getattr(p, "enable_hr", False) and getattr(p, "hr_additional_modules", ()) is None:
        p.hr_additional_modules = list(_SAME_MODULES)


def check_upscaler(p: HostTxt2Img) -> None:
    """Have a generation fail at its start if the upscaler of its hires fix can't be used.

    Args:
        p: The host's parameters, before their `init`. They may be a copy of others that were checked: the check is
            made anew for them.
    """
    clear_failure(p, _CHECK)
    if not getattr(p, "enable_hr", False):
        return
    try:
        registry.check(p.hr_upscaler)
    except Exception as error:  # whatever it is, the host shows it
        fail_at_start(p, error, _CHECK)
