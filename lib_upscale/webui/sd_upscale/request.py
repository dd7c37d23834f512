"""What a redraw of an img2img image is asked to do, and what of that can't be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_upscale.errors import FormatLimitError, OutputError, SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.formats import check_writable
from lib_upscale.redrawing.tiles import Grid, Tile
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings

__all__ = ["PREFIX", "TITLE", "RedrawRequest", "check_format"]

TITLE = "SD upscale plus"
"""The script's name in the Script dropdown."""
PREFIX = TITLE
"""The start of its infotext keys."""


@dataclass(frozen=True)
class RedrawRequest:
    """What is asked of a run."""

    settings: RedrawSettings
    test: bool = False
    """Redraw a single tile and show only that."""
    test_tile: int = 0
    """Its number, counted by rows from 1; 0 is the middle one."""

    def effective_settings(self) -> RedrawSettings:
        """Return the settings as far as they apply. A tile is tested alone, which no tile is in the joint method."""
        settings = self.settings.changed(method=RedrawMethod.TILES) if self.test else self.settings
        return settings.effective(Page.SCRIPT, settings.method)

    def check_test_tile(self, grid: Grid) -> None:
        """Raise `SettingsError` if there is no tile of the number that is to be tested."""
        count = len(grid.tiles)
        if self.test and not 0 <= self.test_tile <= count:
            raise SettingsError(f"There is no tile {self.test_tile}", f"choose 1 to {count}, or 0 for the middle one")

    def tiles_to_test(self, grid: Grid) -> Sequence[Tile]:
        """Return the one tile that is to be tested; of a smaller grid, the last one."""
        number = min(self.test_tile, len(grid.tiles))
        return [grid.tiles[number - 1] if number else grid.middle]


def check_format(name: str, size: Size) -> None:
    """Raise `FormatLimitError` if an image format can't hold an image of that size.

    Args:
        name: The host's name of the format: a file ending without its dot.
        size: Of the result, in pixels.
    """
    try:
        check_writable(f"The result.{name}", size)
    except FormatLimitError:
        raise
    except OutputError:  # a format that only the host knows: it may well write it
        return
