"""The protocols of what redraws tiles (a Stable Diffusion host in a WebUI) and of what enlarges pictures."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.plan import PassPlan
from lib_upscale.redrawing.tiles.filters import Pixels, Plane

__all__ = ["Painter", "TileJob", "Upscaler"]


class Upscaler(Protocol):
    """What enlarges a picture to an exact size before it is redrawn."""

    def __call__(self, pixels: Pixels, size: Size, /) -> Pixels:
        """Resize `pixels`, (height, width, 3), 0..1, to exactly `size`."""


@dataclass(frozen=True, eq=False)
class TileJob:
    """One tile to be redrawn. All jobs of a pass have the same size."""

    name: str
    """Unique in the job: pass and number in the grid, or pass and border in the seam pass."""
    region: Region
    """Where it lies in the canvas. The canvas is the picture, reflected at its right and bottom to fit."""
    pixels: Pixels
    """What is there now: (height, width, 3), 0 to 1."""
    strength: float
    """Denoising strength, above 0 to 1."""
    prompt: str
    """Never empty."""
    mask: Plane | None
    """How far each pixel is to be redrawn, 0 to 1, where only a masked part is; otherwise None."""
    noise: Region
    """Its window of the canvas noise, in latent pixels."""


class Painter(Protocol):
    """Whatever redraws a batch of tiles.

    What it paints for a job may depend on that job alone (and on the seed it was made with), never on what it painted
    before nor on which other jobs share the batch; that is what makes order, batch and resuming invisible.
    """

    @property
    def native(self) -> int:
        """The side in pixels at which the base model was trained: 512, 768, 1024."""

    @property
    def multiple(self) -> int:
        """What a side of a tile must be a multiple of, in pixels; itself a multiple of 8."""

    def begin(self, step: PassPlan) -> None:
        """Prepare for a pass: make the noise for its canvas."""

    def batch_key(self, job: TileJob) -> Hashable:
        """Return a key; jobs whose keys are equal may share a batch: their prompts have the same token length."""

    def caption(self, pixels: Pixels, *, tags: bool = False) -> str:
        """Describe what a tile shows, in a sentence or as tags. Only called where the settings ask for it."""

    def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
        """Redraw the tiles of a batch.

        Returns:
            The pixels of each job: (height, width, 3), float32, 0..1, of the job's size.

        Raises:
            OutOfMemoryError: The batch does not fit.
            CancelledError: The person stopped it in the middle.
        """

    def reduce_memory(self) -> bool:
        """Use less memory from now on, as by a tiled VAE; False if nothing more can be done."""
