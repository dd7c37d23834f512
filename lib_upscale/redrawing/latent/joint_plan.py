"""Plans the latent tiles of the joint method from the settings."""

from __future__ import annotations

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.latent.joint_denoiser import JointSettings
from lib_upscale.redrawing.tiles.grid import LATENT, overlap_of, plan_grid
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.spread import ceil_div

__all__ = ["describe_joint", "joint_grid", "joint_settings"]

_ALIGN = 8
"""Latent pixels: what ControlNet makes inside the UNet has an eighth of the latent's side at least."""


def joint_settings(
    canvas: Size,
    settings: RedrawSettings,
    native: int,
    multiple: int = LATENT,
    *,
    seed: int = 0,
    is_aligned: bool = False,
) -> JointSettings:
    """Plan how a latent is tiled. Sides are chosen as for tiles that are redrawn one after the other.

    Args:
        canvas: The picture's size in pixels.
        settings: What is asked for.
        native: The side in pixels at which the base model was trained.
        multiple: What a side of a tile must be a multiple of, in pixels.
        seed: For a grid that shifts.
        is_aligned: Whether tiles begin where the UNet's insides have whole pixels, at the cost of more tiles.

    Raises:
        SettingsError: The tile is too small or the overlap too large.
    """
    grid = plan_grid(canvas, native=native, tile=settings.tile or 0, overlap=settings.overlap, multiple=multiple)
    tile = Size(grid.tile.width // LATENT, grid.tile.height // LATENT)
    shared = overlap_of(min(tile), None) if settings.overlap is None else ceil_div(settings.overlap, LATENT)
    align = _ALIGN if is_aligned and min(tile) - shared >= _ALIGN else 1
    return JointSettings(tile, shared, batch=settings.batch_size, shift=settings.shift, seed=seed, align=align)


def joint_grid(canvas: Size, joint: JointSettings) -> tuple[int, int, Size]:
    """Count columns and rows and give the tiles' size in pixels, for a picture of `canvas` pixels."""
    whole = canvas.rounded_up(LATENT)
    latent = Size(whole.width // LATENT, whole.height // LATENT)
    columns, rows = joint.origins(latent)
    tile = Size(min(joint.tile.width, latent.width), min(joint.tile.height, latent.height))
    return len(columns), len(rows), tile.scaled(LATENT)


def describe_joint(canvas: Size, joint: JointSettings) -> str:
    """Put the grid into words."""
    columns, rows, tile = joint_grid(canvas, joint)
    if columns == rows == 1:
        return f"one tile of {tile}"
    return f"{columns}x{rows} tiles of {tile} denoised together at every step"
