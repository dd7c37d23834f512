"""Which prompt a tile gets: the picture's, one for tiles, one of a region, or a caption of what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size

__all__ = ["FALLBACK", "PromptRegion", "parse_regions", "tile_prompt"]

FALLBACK = "highly detailed"
"""The prompt where there is none: neutral, and better than an empty one."""

_ENOUGH = 0.25
"""Share of a tile that a region must cover to have a say in it."""

_LINE = re.compile(r"^\s*([^:]*?)\s*:\s*(.*?)\s*$", re.DOTALL)


@dataclass(frozen=True)
class PromptRegion:
    """A prompt for a part of the picture; sides in shares of its width and height, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    prompt: str

    def share(self, tile: Region, picture: Size) -> float:
        """How much of a tile it covers, 0 to 1."""
        wide = min(self.right * picture.width, tile.right) - max(self.left * picture.width, tile.x)
        tall = min(self.bottom * picture.height, tile.bottom) - max(self.top * picture.height, tile.y)
        return max(0.0, wide) * max(0.0, tall) / tile.size.pixels


def parse_regions(text: str) -> tuple[PromptRegion, ...]:
    """The regions written one on each line: "left, top, right, bottom: prompt", in percent of the picture.

    Empty lines do not count. Raises `SettingsError` naming the line that can't be read.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return tuple(_parsed(number, line) for number, line in lines)


def _parsed(number: int, line: str) -> PromptRegion:
    problem = f"Line {number} of the regions, '{line.strip()}', can't be used"
    match = _LINE.match(line)
    if match is None or not match[2]:
        raise SettingsError(problem, "write left, top, right, bottom, then a colon and the prompt")
    try:
        left, top, right, bottom = (float(word.strip().rstrip("%")) / 100 for word in match[1].split(","))
    except ValueError:
        raise SettingsError(problem, "write four numbers before the colon, such as 0, 0, 50, 100") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise SettingsError(problem, "left must be below right and top below bottom, all from 0 to 100 percent")
    return PromptRegion(left, top, right, bottom, match[2])


def tile_prompt(general: str, regions: tuple[PromptRegion, ...], tile: Region, picture: Size) -> str:
    """The prompt of one tile: those of the regions that cover at least a quarter of it, largest first, or `general`."""
    shares = [(region.share(tile, picture), region.prompt) for region in regions]
    chosen = [prompt for share, prompt in sorted(shares, key=lambda s: -s[0]) if share >= _ENOUGH]
    return ", ".join(chosen) or general.strip() or FALLBACK
