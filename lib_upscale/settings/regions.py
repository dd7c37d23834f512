"""The regions of an image that have prompts of their own, as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size

__all__ = ["PromptRegion", "parse_regions"]

_LINE = re.compile(r"^\s*([^:]*?)\s*:\s*(.*?)\s*$", re.DOTALL)


@dataclass(frozen=True)
class PromptRegion:
    """A prompt for a part of an image; sides in shares of its width and height, 0 to 1."""

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
    """Parse regions written one on each line: "left, top, right, bottom: prompt", in percent of the image.

    Empty lines do not count.

    Raises:
        SettingsError: A line can't be read; the message has its number.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return tuple(_parse_line(number, line) for number, line in lines)


def _parse_line(number: int, line: str) -> PromptRegion:
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
