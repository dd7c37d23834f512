"""Plans a redraw before it begins: sizes, grids, cost. It needs no pixels and no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.target import Layout, layout
from lib_upscale.redrawing.latent.joint_denoiser import JointSettings
from lib_upscale.redrawing.latent.joint_plan import describe_joint, joint_grid, joint_settings
from lib_upscale.redrawing.tiles.filters import Plane
from lib_upscale.redrawing.tiles.grid import Grid, plan_grid
from lib_upscale.redrawing.tiles.masks import Footprint, find_masked_region
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings

__all__ = ["PassPlan", "RedrawPlan", "plan_redraw"]


@dataclass(frozen=True)
class PassPlan:
    """One pass: the picture is enlarged, cropped, and redrawn."""

    number: int
    """Counted from 0."""
    enlarged: Size
    """To which the picture is enlarged."""
    crop: Region | None
    """What is cut out of it then; None: nothing is cut off."""
    grid: Grid
    """The tiles over what is left."""
    strength: float
    """The denoising strength, 0..1."""
    joint: JointSettings | None = None
    """The latent tiles of the joint method, for which `grid` has one tile: all that is redrawn."""

    @property
    def unet_pixels(self) -> int:
        """Pixels that the UNet sees at each step."""
        if self.joint is None:
            return len(self.grid.tiles) * self.grid.tile.pixels
        columns, rows, tile = joint_grid(self.grid.tile, self.joint)
        return columns * rows * tile.pixels

    def describe(self) -> str:
        """Put the grid into words."""
        if self.joint is not None:
            return describe_joint(self.grid.tile, self.joint)
        return f"{self.grid.columns}x{self.grid.rows} tiles of {self.grid.tile}"

    @property
    def size(self) -> Size:
        """The size of the picture that is redrawn."""
        return self.crop.size if self.crop else self.enlarged

    @property
    def shown(self) -> Region:
        """What of the enlarged picture is redrawn: `crop` or all."""
        return self.crop or Region.whole(self.enlarged)

    def cut(self, enlarged: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut what is redrawn out of the enlarged picture or a mask of its size. A view."""
        return enlarged[self.shown.rows, self.shown.columns]


@dataclass(frozen=True)
class RedrawPlan:
    """All that running needs to know of a redraw of a picture of the size `source`."""

    source: Size
    settings: RedrawSettings
    layout: Layout
    passes: tuple[PassPlan, ...]

    @property
    def output(self) -> Size:
        """The size of the result."""
        return self.layout.final

    @property
    def tiles(self) -> int:
        """How many tiles all passes have."""
        return sum(len(step.grid.tiles) for step in self.passes)

    @property
    def unet_pixels(self) -> int:
        """Pixels that the UNet sees at each step, in all tiles of all passes."""
        return sum(step.unet_pixels for step in self.passes)

    @property
    def area(self) -> float:
        """Pixels that the UNet sees for each pixel of the result: the cost, where 1 is a redraw in one piece."""
        return self.unet_pixels / self.passes[-1].size.pixels

    def describe(self, skipped: int | None = None, time: str = "") -> str:
        """Put the plan into one line.

        Args:
            skipped: How many tiles will probably be skipped; None: not known.
            time: About how long it takes, in words; "": not known.
        """
        done = 1 - (skipped or 0) / self.tiles
        parts = [str(self.output)]
        for step in self.passes:
            at = f" at {step.size}" if len(self.passes) > 1 else ""
            parts.append(f"{step.describe()}{at}")
        if skipped is not None:
            parts.append(f"about {skipped} of {self.tiles} skipped")
        parts.append(f"{self.area * done:.2f} times the area of the result")
        if time:
            parts.append(time)
        if self.output.pixels < self.source.pixels:
            parts.append(f"smaller than the image of {self.source}")
        return ", ".join(parts)


def plan_redraw(
    source: Size,
    settings: RedrawSettings,
    *,
    native: int,
    multiple: int,
    strength: float,
    mask: Plane | None = None,
    is_aligned: bool = False,
) -> RedrawPlan:
    """Plan the redraw of a picture.

    Args:
        source: The picture's size.
        settings: What is asked for.
        native: The side in pixels at which the base model was trained.
        multiple: What a side of a tile must be a multiple of, in pixels.
        strength: The denoising strength of passes that have none of their own, 0..1.
        mask: (height, width) of the source or of a smaller copy, above 0 where to redraw; None: everywhere.
        is_aligned: Whether latent tiles of the joint method begin where the UNet's insides have whole pixels, as
            ControlNet needs it.

    Raises:
        SettingsError: These settings can't be followed for that picture.
    """
    goal = layout(source, settings.target)
    strengths = settings.strength_of_passes(strength)
    steps = []
    for number, own_strength in enumerate(strengths):
        last = number + 1 == len(strengths)
        enlarged = goal.scaled if last else _between(source, goal.scaled, (number + 1) / len(strengths))
        crop = goal.crop if last else None
        size = crop.size if crop else enlarged
        within = _masked_part(mask, enlarged, crop, settings, native)
        is_joint = settings.method is RedrawMethod.JOINT
        grid = plan_grid(
            # With the joint method one tile is all that is redrawn.
            size,
            native=native,
            tile=max(size) + multiple if is_joint else settings.tile or 0,
            overlap=None if is_joint else settings.overlap,
            multiple=multiple,
            within=within,
        )
        joint = joint_settings(grid.tile, settings, native, multiple, is_aligned=is_aligned) if is_joint else None
        steps.append(PassPlan(number, enlarged, crop, grid, own_strength, joint))
    return RedrawPlan(source, settings, goal, tuple(steps))


def _between(source: Size, goal: Size, share: float) -> Size:
    """The size that share of the way, each side by an equal factor per pass."""
    width, height = (round(a * (b / a) ** share) for a, b in zip(source, goal, strict=True))
    return Size(max(1, width), max(1, height))


def _masked_part(
    mask: Plane | None, enlarged: Size, crop: Region | None, settings: RedrawSettings, native: int
) -> Region | None:
    if mask is None:
        return None
    picture = crop or Region.whole(enlarged)
    return find_masked_region(Footprint(mask, enlarged), picture, settings.mask_padding, settings.tile or native)
