"""What all tiles of one image have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_upscale.webui.host.base_model import Sides
from lib_upscale.webui.host.protocols import HostImg2Img, HostScriptRunner
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.stops import Stops

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
