"""What all tiles of one image have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lib_upscale.webui.host.base_model import Sides
from lib_upscale.webui.host.protocols import HostImg2Img, HostScriptRunner
from lib_upscale.webui.host.sampling import count_evaluations
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.samplers import img2img_evaluations
from lib_upscale.webui.tiled_sampling.stops import Stops
from lib_upscale.webui.tiled_sampling.stopwatch import Stopwatch

__all__ = ["TileRun"]


@dataclass(frozen=True, eq=False)
class TileRun:
    """One image that is redrawn in tiles."""

    p: HostImg2Img
    """The image's parameters, set up by the host and about to be sampled."""
    runner: HostScriptRunner | None
    """All of the image's scripts, of which some run for tiles."""
    arguments: Sequence[object] | None
    """Their arguments for tiles."""
    negative_prompt: str
    seeds: Seeds
    sides: Sides
    """What the base model asks of the sides of an image."""
    stops: Stops
    sampler_steps: int | None = None
    """Steps that the sampler takes for every tile; None for img2img's own, the strength's share of all."""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    on_begin: Callable[[], None] = lambda: None
    """Called before each of the host's calls."""
    on_step: Callable[[int, int], None] = lambda _step, _steps: None
    """Called with each step of the method joint, counted from 1, and their number."""

    def evaluations(self, strength: float) -> int:
        """How often the UNet is run for a tile."""
        if self.sampler_steps is not None:
            return count_evaluations(self.p.sampler_name, self.sampler_steps)
        return img2img_evaluations(self.p.sampler_name, self.p.steps, strength)
