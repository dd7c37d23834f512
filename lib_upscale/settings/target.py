"""The settings of the size that a result gets, shared by upscaling and redrawing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lib_upscale.errors import SettingsError
from lib_upscale.image.target import (
    Anchor,
    Box,
    Factor,
    Fit,
    Height,
    LongestSide,
    Megapixels,
    ShortestSide,
    Target,
    Width,
)
from lib_upscale.settings.base import Settings
from lib_upscale.settings.fields import Group, option, options
from lib_upscale.settings.methods import SCRIPT_ONLY

__all__ = ["TargetKind", "TargetSettings"]


class TargetKind(str, Enum):
    """The ways to say how large a result becomes. The values are what a person chooses from."""

    OWN = "Model's own scale"
    FACTOR = "Factor"
    BOX = "Width x height"
    LONGEST = "Longest side"
    SHORTEST = "Shortest side"
    MEGAPIXELS = "Megapixels"

    @property
    def sizes(self) -> tuple[str, ...]:
        """The fields of `TargetSettings` that hold its numbers."""
        return _SIZES[self]


_SIZES: dict[TargetKind, tuple[str, ...]] = {
    TargetKind.OWN: (),
    TargetKind.FACTOR: ("scale",),
    TargetKind.BOX: ("width", "height"),
    TargetKind.LONGEST: ("longest",),
    TargetKind.SHORTEST: ("shortest",),
    TargetKind.MEGAPIXELS: ("megapixels",),
}


@dataclass(frozen=True)
class TargetSettings(Settings):
    """How large the result becomes.

    At most one way of saying so may be used: `scale`, or `width` and/or `height`, or `longest`, or `shortest`, or
    `megapixels`.
    """

    scale: float | None = option(
        None,
        "Scale",
        "How many times larger each side becomes. Any number above 0, such as 2 or 1.5.",
        Group.TARGET,
        "scale",
        minimum=0.01,
        maximum=64.0,
        step=0.05,
        slider=(0.25, 16.0),
        suggestion=2.0,
        offered=SCRIPT_ONLY,
        axis=True,
    )
    width: int | None = option(
        None,
        "Width",
        "Width of the result in pixels. Without a height, the height follows.",
        Group.TARGET,
        "width",
        minimum=1,
        maximum=100_000,
        step=1,
        suggestion=1920,
        offered=SCRIPT_ONLY,
    )
    height: int | None = option(
        None,
        "Height",
        "Height of the result in pixels. Without a width, the width follows.",
        Group.TARGET,
        "height",
        minimum=1,
        maximum=100_000,
        step=1,
        suggestion=1080,
        offered=SCRIPT_ONLY,
    )
    longest: int | None = option(
        None,
        "Longest side",
        "Length of the longer side of the result in pixels; the other follows.",
        Group.TARGET,
        "longest side",
        minimum=1,
        maximum=100_000,
        step=1,
        suggestion=2048,
        offered=SCRIPT_ONLY,
    )
    shortest: int | None = option(
        None,
        "Shortest side",
        "Length of the shorter side of the result in pixels; the other follows.",
        Group.TARGET,
        "shortest side",
        minimum=1,
        maximum=100_000,
        step=1,
        suggestion=1080,
        offered=SCRIPT_ONLY,
    )
    megapixels: float | None = option(
        None,
        "Megapixels",
        "Size of the result in millions of pixels. It keeps its aspect ratio.",
        Group.TARGET,
        "megapixels",
        minimum=0.0001,
        maximum=10_000.0,
        step=0.1,
        suggestion=8.0,
        offered=SCRIPT_ONLY,
    )
    fit: Fit = option(
        Fit.CONTAIN,
        "Fit",
        "If width and height have another aspect ratio than the image: contain fits all of it inside, cover fills the "
        "size and crops, pad adds borders, stretch ignores the aspect ratio.",
        Group.TARGET,
        "fit",
        offered=SCRIPT_ONLY,
    )
    anchor: Anchor = option(
        Anchor.CENTER,
        "Anchor",
        "Which part of the image stays when cover crops, and where the image lies when pad adds borders.",
        Group.TARGET,
        "anchor",
        offered=SCRIPT_ONLY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        ways = ["/".join(kind.sizes) for kind in self._kinds()]
        if len(ways) > 1:
            raise SettingsError(f"The target is given more than once ({', '.join(ways)})", "keep one of them")

    @property
    def target_kind(self) -> TargetKind:
        """The way the size is given; OWN where it is not."""
        return next(iter(self._kinds()), TargetKind.OWN)

    @property
    def target(self) -> Target | None:
        """The size asked for, or None."""
        if self.width is not None and self.height is not None:
            return Box(self.width, self.height, self.fit, self.anchor)
        if self.width is not None:
            return Width(self.width)
        if self.height is not None:
            return Height(self.height)
        if self.scale is not None:
            return Factor(self.scale)
        if self.longest is not None:
            return LongestSide(self.longest)
        if self.shortest is not None:
            return ShortestSide(self.shortest)
        return None if self.megapixels is None else Megapixels(self.megapixels)

    @classmethod
    def target_fields(cls, kind: TargetKind) -> tuple[str, ...]:
        """The fields that count for a kind of target: its sizes, and for a box what becomes of another shape."""
        sizes = {name for names in _SIZES.values() for name in names}
        shapes = [name for name, item in options(cls).items() if item.group is Group.TARGET and name not in sizes]
        return (*kind.sizes, *shapes) if kind is TargetKind.BOX else kind.sizes

    def _kinds(self) -> list[TargetKind]:
        return [kind for kind in TargetKind if any(getattr(self, name) is not None for name in kind.sizes)]
