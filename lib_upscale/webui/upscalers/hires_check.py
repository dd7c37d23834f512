"""Checks the upscaler of hires fix before the first pass, so that an unusable one wastes no time."""

from __future__ import annotations

from lib_upscale.webui.host.protocols import HostTxt2Img
from lib_upscale.webui.host.refuse import clear_failure, fail_at_start
from lib_upscale.webui.upscalers import registry

__all__ = ["check_upscaler"]

_CHECK = "hires upscaler"


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
