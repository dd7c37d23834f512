"""The input of a redraw and its result."""

from __future__ import annotations

from dataclasses import dataclass

from lib_upscale.image.geometry import Size
from lib_upscale.progress import duration
from lib_upscale.redrawing.plan import RedrawPlan
from lib_upscale.redrawing.tiles.filters import Pixels, Plane

__all__ = ["RedrawPicture", "RedrawResult", "TileCount"]


@dataclass(frozen=True, eq=False)
class RedrawPicture:
    """What is to be redrawn."""

    pixels: Pixels
    """(height, width, 3), 0 to 1, before it is enlarged."""
    prompt: str = ""
    mask: Plane | None = None
    """(height, width) of `pixels`: 1 where to redraw, 0 where to leave every pixel as it is. None: everywhere."""

    @property
    def size(self) -> Size:
        """The size of `pixels`."""
        return Size(self.pixels.shape[1], self.pixels.shape[0])


@dataclass
class TileCount:
    """What became of the tiles of all passes."""

    total: int
    painted: int = 0
    """Redrawn in this run."""
    resumed: int = 0
    """Taken from the journal."""
    skipped: int = 0
    """Left as they were: flat, outside the mask, or not asked for."""
    borders: int = 0
    """Borders redrawn in the seam pass."""
    work: float = 0.0
    """The work of this run in tiles at full strength, borders included."""
    spared: float = 0.0
    """The work that flat tiles saved, by being skipped or redrawn with less strength, in the same unit."""

    @property
    def done(self) -> int:
        """Tiles that need nothing more."""
        return self.painted + self.resumed + self.skipped


@dataclass(frozen=True, eq=False)
class RedrawResult:
    """The result of a redraw, and the plan that was followed."""

    pixels: Pixels
    """The result, (height, width, 3), 0 to 1, of the size that was planned."""
    upscaled: Pixels
    """The same, enlarged and not redrawn."""
    plan: RedrawPlan
    """The plan that was followed."""
    partial: bool
    """Whether it was stopped: tiles that were not finished show the enlarged picture."""
    count: TileCount
    seconds: float
    """Time that the painter took."""
    resampled: bool = False
    """Whether a stop left passes to a plain filter, which the upscaler should have enlarged."""

    @property
    def seconds_per_megapixel(self) -> float | None:
        """What a million of the UNet's pixels took, for the next `RedrawPlan.seconds`; None if nothing was painted."""
        return self.seconds / (self.count.work * self._megapixels_of_a_tile()) if self.count.work else None

    def _megapixels_of_a_tile(self) -> float:
        return self.plan.unet_pixels / self.plan.tiles / 1e6

    def saved(self) -> str:
        """Say how much time flat tiles saved; "" if there were none."""
        count = self.count
        if count.spared <= 0:
            return ""
        text = f"{count.skipped} of {count.total} tiles skipped, {count.spared / count.total:.0%} of the work saved"
        rate = self.seconds_per_megapixel
        return f"{text}, about {duration(rate * count.spared * self._megapixels_of_a_tile())}" if rate else text
