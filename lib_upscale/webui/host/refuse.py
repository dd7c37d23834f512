"""Parameters that can't be used. The host swallows what a script raises, but shows what their `init` raises."""

from __future__ import annotations

from typing import Any

from lib_upscale.webui.host import environment as host

__all__ = ["refuse", "take_back"]


def refuse(p: Any, error: Exception) -> None:
    """Have the generation `p` fail at its start with that error, and say it in the console."""
    host.say(str(error))
    p.init = _Refusal(error)


def take_back(p: Any) -> None:
    """A cell of a plot may be a copy of parameters that were refused: they are looked at anew."""
    if isinstance(vars(p).get("init"), _Refusal):
        del p.init


class _Refusal:
    """In place of the host's `init`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> None:
        raise self._error
