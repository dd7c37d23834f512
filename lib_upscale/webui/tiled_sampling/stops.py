"""The person's stop while an image is made of many generations, one for each batch of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.jobs import interrupt_at_once

__all__ = ["Stops"]


class Stops:
    """Whether the person asked to stop: the host forgets a Skip when a generation begins, and so at every tile.

    With several jobs to do, the host takes the first press of Interrupt as "stop after this image", by
    `stopping_generation`, and interrupts at the next press, as long as that is on. It counts tiles as jobs. So where
    there is one image only, the first press interrupts. Where there are several, "stop after this image" is withheld
    from the host when it begins with a tile, as it would return nothing for it.
    """

    def __init__(self) -> None:
        self._is_single = self._skipped = self._withheld = False
        self._stopping = bool(getattr(environment.state(), "stopping_generation", False))

    @contextmanager
    def image(self, *, is_single: bool) -> Iterator[None]:
        """Heed the person's stop while one image is made, and give the host back what was asked, in the end.

        A Skip of the image before does not hold for this one.

        Args:
            is_single: It is the only image of the host's job.
        """
        self._is_single, self._skipped = is_single, False
        with interrupt_at_once() if is_single else nullcontext():
            try:
                yield
            finally:
                self._note()
                environment.state().skipped = self._skipped
                self._give_back()

    def requested(self) -> bool:
        """Whether to stop now."""
        self._note()
        return self._skipped or bool(environment.state().interrupted)

    def begin_tile(self) -> None:
        """Have the host's next generation begin, which it would not after "stop after this image"."""
        self._note()
        if self._stopping:
            environment.state().stopping_generation, self._withheld = False, True

    def renew(self) -> None:
        """Put back what the host has taken off or was not to see: its sampler ends at the next step after a Skip."""
        if self.requested():
            environment.state().skipped = self._skipped
        self._give_back()

    def _note(self) -> None:
        state = environment.state()
        self._skipped |= bool(state.skipped)
        if getattr(state, "stopping_generation", False) and (self._withheld or not self._stopping):
            if self._is_single or self._stopping:
                state.interrupted = True
            self._stopping, self._withheld = True, False

    def _give_back(self) -> None:
        if self._withheld:
            environment.state().stopping_generation, self._withheld = True, False
