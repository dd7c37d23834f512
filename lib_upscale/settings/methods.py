"""The methods of a redraw, the pages that offer its settings, and on which page a setting acts in which method."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

__all__ = ["EVERYWHERE", "JOINT_ONLY", "SCRIPT_ONLY", "TILES_ONLY", "Page", "RedrawMethod"]


class RedrawMethod(str, Enum):
    """How tiles are denoised."""

    TILES = "tiles"
    JOINT = "joint"


class Page(str, Enum):
    """Where the settings of a redraw are offered."""

    SCRIPT = "script"
    """The script "SD upscale plus" in img2img, and the API that runs it."""
    HIRES = "hires"
    """The section "Hires fix plus" in txt2img."""


_BOTH = (RedrawMethod.TILES, RedrawMethod.JOINT)

EVERYWHERE: Mapping[Enum, tuple[Enum, ...]] = {Page.SCRIPT: _BOTH, Page.HIRES: _BOTH}
"""`Option.offered` of what both pages have and both methods use."""
SCRIPT_ONLY: Mapping[Enum, tuple[Enum, ...]] = {Page.SCRIPT: _BOTH}
"""`Option.offered` of what hires fix has controls of its own for, or does not do."""
TILES_ONLY: Mapping[Enum, tuple[Enum, ...]] = {Page.SCRIPT: _BOTH[:1], Page.HIRES: _BOTH[:1]}
JOINT_ONLY: Mapping[Enum, tuple[Enum, ...]] = {Page.SCRIPT: _BOTH[1:], Page.HIRES: _BOTH[1:]}
