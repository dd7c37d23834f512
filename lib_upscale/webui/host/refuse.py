"""Parameters that can't be used, and ending a run that was refused.

The host swallows what a script raises, but shows what their `init` raises; the API answers with it. On the page an
exception would also be in the console, with all arguments and a traceback, and be shown with its class: there a run
that is refused ends without images and says why. So does a cell of an X/Y/Z plot: what it raises the plot would print
with a traceback. The cell is black then, as the plot has it, and the console says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lib_upscale.webui.host import environment, jobs
from lib_upscale.webui.host.console import report, say
from lib_upscale.webui.host.protocols import HostProcessed, HostProcessing
from lib_upscale.webui.host.scripts import is_xyz_plot, script_in_dropdown

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["build_or_report", "clear_failure", "fail_at_start", "refused"]


def build_or_report(build: Callable[[], list[Component]], title: str) -> list[Component]:
    """Make the controls of a script, none if that fails: while the API starts an error would end the WebUI.

    Args:
        build: Makes them.
        title: The script's, for the console.

    Returns:
        What it made.
    """
    try:
        return build()
    except Exception as error:
        report(f"The controls of {title} could not be made ({error})")
        return []


def refused(p: HostProcessing, error: Exception) -> HostProcessed:
    """End a run of the page: no images, and the problem under them.

    Args:
        p: The host's parameters.
        error: Why.

    Raises:
        Exception: The error itself, for whoever uses the API.
    """
    if not jobs.is_started_on_page():
        raise error
    from modules.processing import Processed

    p.comment(str(error))
    processed: HostProcessed = Processed(p, [], p.seed, "")
    return processed


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
        p.init = _FailingInit(p, error, check, before)


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

    def __init__(self, p: HostProcessing, error: Exception, check: str, before: Callable[..., None] | None) -> None:
        self._p, self._error = p, error
        self.check = check
        self.before = before
        """What another extension had put there."""

    def __call__(self, *_: object, **__: object) -> None:
        script = script_in_dropdown(self._p)
        is_cell = script is not None and is_xyz_plot(script)
        if not is_cell and (script is not None or not jobs.is_started_on_page()):
            raise self._error  # a script goes on after this generation, or the API answers with it
        # Without a batch, or interrupted before its first, the host ends in good order, with what is said here.
        self._p.comment(str(self._error))
        self._p.do_not_save_grid = True
        if is_cell:
            self._p.n_iter = 0
        else:
            environment.state().interrupted = True
