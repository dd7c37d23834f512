"""Hires fix asked beforehand: an upscaler that can't work is told before the first pass is spent, not after."""

from __future__ import annotations

import functools
from typing import Any

from lib_upscale.webui.host import environment as host
from lib_upscale.webui.upscalers import registry

__all__ = ["prepare"]


def prepare(p: Any) -> None:
    """Have the generation `p` fail at its start if the upscaler of its hires fix can't work.

    The host swallows what a script raises, so the check is put before `p.init`, whose errors it shows. `p` may be a
    copy of another generation that was prepared: the check is made anew for it.
    """
    if hasattr(p.__dict__.get("init"), "upscale_plus_check"):
        del p.init
    if not getattr(p, "enable_hr", False):
        return
    original = p.init

    @functools.wraps(original)
    def init(*arguments: Any, **named: Any) -> Any:
        try:
            registry.check(p.hr_upscaler)
        except Exception as error:
            host.say(str(error))
            raise
        return original(*arguments, **named)

    init.upscale_plus_check = True  # type: ignore[attr-defined]
    p.init = init
