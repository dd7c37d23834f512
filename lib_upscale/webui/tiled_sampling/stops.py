"""The person's stop while an image is made of many generations, one for each batch of tiles."""

from __future__ import annotations

from lib_upscale.webui.host import environment

__all__ = ["Stops"]


class Stops:
    """Whether the person asked to stop: the host forgets a Skip when a generation begins, and so at every tile.

    "Stop after this image" (`stopping_generation`) would make the host return nothing for a tile: it is taken off
    while the image lasts and put back after it.
    """

    def __init__(self) -> None:
        self.begin_image()

    def begin_image(self) -> None:
        """Forget what was asked of the image before: it does not hold for the next one of a batch count."""
        self._skipped = False
        self._stopping = False

    def requested(self) -> bool:
        """Note what was asked; whether to stop now."""
        state = environment.state()
        self._skipped |= bool(state.skipped)
        if getattr(state, "stopping_generation", False):
            self._stopping = True
            state.stopping_generation = False
        return self._skipped or bool(state.interrupted)

    def renew_skip(self) -> None:
        """Put a Skip back that the host has taken off, so that its sampler ends at the next step."""
        if self.requested():
            environment.state().skipped = self._skipped

    def restore(self) -> None:
        """Give the host back what was asked, when the image is over."""
        self.requested()
        state = environment.state()
        state.skipped = self._skipped
        if self._stopping:
            state.stopping_generation = True
