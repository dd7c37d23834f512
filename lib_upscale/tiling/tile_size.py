"""Chooses the size of tiles: as large as fits into memory, and no larger than pays off."""

from __future__ import annotations

import math

import torch

from lib_upscale.device import free_memory
from lib_upscale.image.geometry import Size
from lib_upscale.tiling.plan import SizeConstraint, plan_tiles, smallest_tile

__all__ = ["automatic_tile"]

_SHARE = {"cpu": 0.4}
"""How much of the free memory may be taken. A CPU's is not ours alone, and the kernel kills who takes it all."""

_ENOUGH = {"cpu": 512}
"""The side beyond which a larger tile gains nothing: on a CPU the working set has left the caches, and a person
who interrupts would wait."""


def automatic_tile(
    size: Size,
    overlap: int,
    constraint: SizeConstraint,
    bytes_per_pixel: float,
    device: torch.device,
    *,
    largest: int | None = None,
    undivided: bool = False,
    reserved: int = 0,
) -> int:
    """Choose the side of the tiles for an image, in source pixels.

    Args:
        size: The image's size, in pixels.
        overlap: What neighboring tiles share, in pixels.
        constraint: What the network demands of its tiles.
        bytes_per_pixel: What the network needs for each pixel of a tile.
        device: Where it computes.
        largest: The largest side that is known to fit, from an earlier image; None if none is known.
        undivided: Whether the network should see as much at once as memory allows, whatever it costs.
        reserved: Bytes of the free memory that will be taken before.
    """
    free = max(0, free_memory(device) - reserved)
    affordable = math.isqrt(int(free * _SHARE.get(device.type, 0.8) / max(1.0, bytes_per_pixel)))
    limit = min(affordable, largest or affordable)
    enough = limit if undivided else max(_ENOUGH.get(device.type, 2048), 3 * overlap)
    pixels = constraint.ceil(size.width) * constraint.ceil(size.height)
    if pixels <= min(limit, enough * 5 // 4) ** 2 and max(size) <= 4 * enough:
        return max(constraint.ceil(size.width), constraint.ceil(size.height))
    least = smallest_tile(overlap, constraint)
    candidates = {max(least, min(limit, enough * share // 8)) for share in (5, 6, 7, 8, 9, 10)}
    if undivided:
        return max(candidates)
    # Among tiles of about the right size, the one whose overlaps cost least.
    return min(candidates, key=lambda tile: (plan_tiles(size, tile, overlap, constraint).computed_pixels, tile))
