"""Chooses the prompt of a tile: the picture's, one for tiles, one of a region, or a caption of what it shows."""

from __future__ import annotations

from lib_upscale.image.geometry import Region, Size
from lib_upscale.settings.regions import PromptRegion

__all__ = ["FALLBACK", "tile_prompt"]

FALLBACK = "highly detailed"
"""The prompt where there is none: neutral, and better than an empty one."""

_ENOUGH = 0.25
"""Share of a tile that a region must cover for its prompt to count."""


def tile_prompt(general: str, regions: tuple[PromptRegion, ...], tile: Region, picture: Size) -> str:
    """Join the prompts of the regions that cover at least a quarter of a tile, largest first; or take `general`.

    Args:
        general: The prompt where no region covers enough; `FALLBACK` stands in for an empty one.
        regions: Prompts of parts of the picture.
        tile: Where the tile lies in the picture, in pixels.
        picture: The picture's size.
    """
    shares = [(region.share(tile, picture), region.prompt) for region in regions]
    prompts = [prompt for share, prompt in sorted(shares, key=lambda s: -s[0]) if share >= _ENOUGH]
    return ", ".join(prompts) or general.strip() or FALLBACK
