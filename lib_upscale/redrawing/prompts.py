"""Which prompt a tile gets: the picture's, one for tiles, one of a region, or a caption of what it shows."""

from __future__ import annotations

from lib_upscale.image.geometry import Region, Size
from lib_upscale.settings.regions import PromptRegion

__all__ = ["FALLBACK", "tile_prompt"]

FALLBACK = "highly detailed"
"""The prompt where there is none: neutral, and better than an empty one."""

_ENOUGH = 0.25
"""Share of a tile that a region must cover to have a say in it."""


def tile_prompt(general: str, regions: tuple[PromptRegion, ...], tile: Region, picture: Size) -> str:
    """The prompt of one tile: those of the regions that cover at least a quarter of it, largest first, or `general`."""
    shares = [(region.share(tile, picture), region.prompt) for region in regions]
    chosen = [prompt for share, prompt in sorted(shares, key=lambda s: -s[0]) if share >= _ENOUGH]
    return ", ".join(chosen) or general.strip() or FALLBACK
