"""Parameters that can't be used. The host swallows what a script raises, but shows what their `init` raises."""

from __future__ import annotations

from collections.abc import Callable

from lib_upscale.webui.host.console import say
from lib_upscale.webui.host.protocols import HostProcessing

__all__ = ["clear_failure", "fail_at_start"]


def fail_at_start(p: HostProcessing, error: Exception, check: str) -> None:
    """Have the generation `p` fail at its start with that error, and say it in the console.

    Args:
        p: The host's parameters, before their `init`.
        error: What is raised then. Of several checks that fail the first one's error is.
        check: Which check has failed: its result is taken back by the same name.
    """
    say(str(error))
    before = vars(p).get("init")
    if not isinstance(before, _FailingInit):
        p.init = _FailingInit(error, check, before)


def clear_failure(p: HostProcessing, check: str) -> None:
    """Take the failure of that check back, before it is made anew: `p` may be a copy of parameters that failed it."""
    current = vars(p).get("init")
    if not isinstance(current, _FailingInit) or current.check != check:
        return
    del p.init
    if current.before is not None:
        p.init = current.before


class _FailingInit:
    """In place of the host's `init`."""

    def __init__(self, error: Exception, check: str, before: Callable[..., None] | None) -> None:
        self._error = error
        self.check = check
        self.before = before
        """What another extension had put there."""

    def __call__(self, *_: object, **__: object) -> None:
        raise self._error
