"""Target sizes: what a user may ask for, and the whole pixels that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Region, Size

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "Anchor",
    "Box",
    "Factor",
    "Fit",
    "Height",
    "Layout",
    "LongestSide",
    "Megapixels",
    "ShortestSide",
    "Target",
    "Width",
    "layout",
]

MAX_SIDE = 1_000_000
"""The longest side, in pixels, that a target may have. More is a slip of the keyboard."""

MAX_PIXELS = 2**34
"""The most pixels that a target may have: 131,072 x 131,072."""


class Fit(str, Enum):
    """What to do where the image has another shape than the box."""

    CONTAIN = "contain"
    """As large as fits inside the box; the result may be smaller than the box in one direction."""
    COVER = "cover"
    """The box filled; what exceeds it is cut off."""
    PAD = "pad"
    """As large as fits inside, the rest of the box filled."""
    STRETCH = "stretch"
    """The box exactly; the image is distorted."""


class Anchor(str, Enum):
    """Which part stays when a picture is cropped, and where it lies when it is padded."""

    TOP_LEFT = "top-left"
    TOP = "top"
    TOP_RIGHT = "top-right"
    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM = "bottom"
    BOTTOM_RIGHT = "bottom-right"

    def place(self, slack_x: int, slack_y: int) -> tuple[int, int]:
        """How much of the spare pixels in each direction comes before the picture: (x, y)."""
        words = self.value.split("-")
        x = 0 if "left" in words else slack_x if "right" in words else slack_x // 2
        y = 0 if "top" in words else slack_y if "bottom" in words else slack_y // 2
        return x, y


@dataclass(frozen=True)
class Factor:
    """Both sides times a number above 0, whole or not."""

    value: float

    def __post_init__(self) -> None:
        _check_number("The factor", self.value)


@dataclass(frozen=True)
class Width:
    """A width in pixels; the height follows from the image's shape."""

    pixels: int

    def __post_init__(self) -> None:
        _check_side("The width", self.pixels)


@dataclass(frozen=True)
class Height:
    """A height in pixels; the width follows from the image's shape."""

    pixels: int

    def __post_init__(self) -> None:
        _check_side("The height", self.pixels)


@dataclass(frozen=True)
class Box:
    """A width and a height, both in pixels, and what to do if the image has another shape."""

    width: int
    height: int
    fit: Fit = Fit.CONTAIN
    anchor: Anchor = Anchor.CENTER

    def __post_init__(self) -> None:
        _check_side("The width", self.width)
        _check_side("The height", self.height)


@dataclass(frozen=True)
class LongestSide:
    """The longer side in pixels."""

    pixels: int

    def __post_init__(self) -> None:
        _check_side("The longest side", self.pixels)


@dataclass(frozen=True)
class ShortestSide:
    """The shorter side in pixels."""

    pixels: int

    def __post_init__(self) -> None:
        _check_side("The shortest side", self.pixels)


@dataclass(frozen=True)
class Megapixels:
    """About so many millions (1,000,000) of pixels, in the image's own shape."""

    value: float

    def __post_init__(self) -> None:
        _check_number("The number of megapixels", self.value)


Target = Factor | Width | Height | Box | LongestSide | ShortestSide | Megapixels
"""Whatever a user may ask for."""


@dataclass(frozen=True)
class Layout:
    """How a picture becomes one of exactly `final` pixels.

    It is scaled to `scaled`. Then either `crop`, a region of the scaled picture, is cut out, or the scaled
    picture is laid on a canvas of the size `final` with its top left corner at `offset` (x, y). At most one of the two
    is set; without either, `scaled` is `final`.
    """

    scaled: Size
    final: Size
    crop: Region | None = None
    offset: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and self.offset is not None:
            raise ValueError("a layout crops or pads, not both")
        if self.crop is not None and (
            self.crop.size != self.final or not Region.whole(self.scaled).contains(self.crop)
        ):
            raise ValueError(f"{self.crop} does not cut {self.final} out of {self.scaled}")
        if self.offset is not None and not Region.whole(self.final).contains(
            Region.whole(self.scaled).moved(*self.offset)
        ):
            raise ValueError(f"{self.scaled} at {self.offset} does not lie inside {self.final}")
        if self.crop is None and self.offset is None and self.scaled != self.final:
            raise ValueError(f"{self.scaled} is not {self.final} without a crop or an offset")


def layout(size: Size, target: Target) -> Layout:
    """Work out what `target` means for an image of that size, in whole pixels, halves rounded up and never 0.

    Raises:
        SettingsError: The result would have more than `MAX_SIDE` or `MAX_PIXELS` pixels.
    """
    if isinstance(target, Box) and target.fit is not Fit.STRETCH:
        return _boxed(size, target)
    return _plain(_scaled_size(size, target))


def _plain(size: Size) -> Layout:
    _check_result(size)
    return Layout(scaled=size, final=size)


def _scaled_size(size: Size, target: Target) -> Size:
    if isinstance(target, Box):
        return Size(target.width, target.height)
    if isinstance(target, Factor):
        # Through the number's decimal digits: 45 times 0.7 is 31.5 to a user, though not in binary.
        factor = Fraction(str(float(target.value)))
        return Size(_rounded(size.width * factor), _rounded(size.height * factor))
    if isinstance(target, Megapixels):
        ratio = math.sqrt(target.value * 1e6 / size.pixels)
        return Size(_rounded(Fraction(size.width * ratio)), _rounded(Fraction(size.height * ratio)))
    wide = size.width >= size.height
    if (
        isinstance(target, Width)
        or (isinstance(target, LongestSide) and wide)
        or (isinstance(target, ShortestSide) and not wide)
    ):
        return Size(target.pixels, _rounded(Fraction(size.height * target.pixels, size.width)))
    return Size(_rounded(Fraction(size.width * target.pixels, size.height)), target.pixels)


def _boxed(size: Size, box: Box) -> Layout:
    final = Size(box.width, box.height)
    _check_result(final)
    by_width = Fraction(box.width, size.width)
    by_height = Fraction(box.height, size.height)
    if box.fit is Fit.COVER:
        factor = max(by_width, by_height)
        scaled = Size(max(box.width, _rounded(size.width * factor)), max(box.height, _rounded(size.height * factor)))
        _check_result(scaled)
        if scaled == final:
            return Layout(scaled=final, final=final)
        x, y = box.anchor.place(scaled.width - final.width, scaled.height - final.height)
        return Layout(scaled=scaled, final=final, crop=Region(x, y, final.width, final.height))
    factor = min(by_width, by_height)
    scaled = Size(min(box.width, _rounded(size.width * factor)), min(box.height, _rounded(size.height * factor)))
    if box.fit is Fit.CONTAIN:
        return Layout(scaled=scaled, final=scaled)
    if scaled == final:
        return Layout(scaled=final, final=final)
    offset = box.anchor.place(final.width - scaled.width, final.height - scaled.height)
    return Layout(scaled=scaled, final=final, offset=offset)


def _rounded(value: Fraction) -> int:
    return max(1, math.floor(value + Fraction(1, 2)))


def _check_number(what: str, value: float) -> None:
    if not math.isfinite(value) or value <= 0:
        raise SettingsError(f"{what} must be above 0, not {value:g}", "2 doubles both sides")


def _check_side(what: str, pixels: int) -> None:
    if pixels != int(pixels):
        raise SettingsError(f"{what} must be in whole pixels, not {pixels:g}")
    if pixels < 1:
        raise SettingsError(f"{what} must be at least 1 pixel, not {pixels}")
    if pixels > MAX_SIDE:
        raise SettingsError(f"{what} can't be {pixels} pixels", f"choose at most {MAX_SIDE:,}")


def _check_result(size: Size) -> None:
    if max(size) > MAX_SIDE or size.pixels > MAX_PIXELS:
        raise SettingsError(
            f"The result would have {size} pixels",
            f"choose a target of at most {MAX_SIDE:,} pixels a side and {MAX_PIXELS // 10**6:,} megapixels in all",
        )
