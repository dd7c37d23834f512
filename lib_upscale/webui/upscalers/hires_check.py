"""Hires fix is checked before its start: an upscaler that can't work is told before the first pass is spent."""

from __future__ import annotations

from typing import Any

from lib_upscale.webui.host.refuse import clear_failure, fail_at_start
from lib_upscale.webui.upscalers import registry

__all__ = ["prepare"]

_CHECK = "hires upscaler"


def prepare(p: Any) -> None:
    """Have a generation fail at its start if the upscaler of its hires fix can't work.

    Args:
        p: The host's parameters, before their `init`. They may be a copy of others that were prepared: the check is
            made anew for them.
    """
    clear_failure(p, _CHECK)
    if not getattr(p, "enable_hr", False):
        return
    try:
        registry.check(p.hr_upscaler)
    except Exception as error:  # whatever it is, the host shows it
        fail_at_start(p, error, _CHECK)
