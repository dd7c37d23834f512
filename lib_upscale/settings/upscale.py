"""What a person can set: one list from which controls, command line, infotext, API and presets are made.

Each field carries its own label, tooltip and limits, so that a setting is described once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import AlphaMode
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
from lib_upscale.settings.fields import Option, Settings, check_numbers, option, options

__all__ = ["AUTOMATIC", "Backend", "Option", "Precision", "UpscaleSettings", "options"]

AUTOMATIC = 0
"""The value of `tile` that means: chosen for the model and the memory there is."""


class Precision(str, Enum):
    """What the network computes in."""

    AUTO = "auto"
    FULL = "full"
    HALF = "half"
    BFLOAT16 = "bfloat16"


class Backend(str, Enum):
    """What runs the network."""

    TORCH = "torch"
    COMPILE = "compile"
    OPENVINO = "openvino"


@dataclass(frozen=True)
class UpscaleSettings(Settings):
    """How `upscale()` makes a picture larger. Every value is checked on construction (`SettingsError`).

    At most one way of naming the target may be used: `scale`, or `width` and/or `height`, or `longest`,
    or `shortest`, or `megapixels`. With none of them the target is the model's own scale.
    """

    model: str = option("", "Upscaler", "The network that enlarges the picture. Empty: the default model.")
    scale: float | None = option(
        None, "Scale", "How many times larger each side becomes. Any number above 0, such as 2 or 1.5.",
        minimum=0.01, maximum=64.0, step=0.05,
    )  # fmt: skip
    width: int | None = option(
        None, "Width", "Width of the result in pixels. Without a height, the height follows.",
        minimum=1, maximum=100_000, step=1,
    )  # fmt: skip
    height: int | None = option(
        None, "Height", "Height of the result in pixels. Without a width, the width follows.",
        minimum=1, maximum=100_000, step=1,
    )  # fmt: skip
    longest: int | None = option(
        None, "Longest side", "Length of the longer side of the result in pixels; the other follows.",
        minimum=1, maximum=100_000, step=1,
    )  # fmt: skip
    shortest: int | None = option(
        None, "Shortest side", "Length of the shorter side of the result in pixels; the other follows.",
        minimum=1, maximum=100_000, step=1,
    )  # fmt: skip
    megapixels: float | None = option(
        None, "Megapixels", "Size of the result in millions of pixels, its shape kept.",
        minimum=0.0001, maximum=10_000.0, step=0.1,
    )  # fmt: skip
    fit: Fit = option(
        Fit.CONTAIN, "Fit",
        "What happens when width and height have another shape than the picture: contain keeps all of it, "
        "cover fills the size and crops, pad adds borders, stretch distorts.",
    )  # fmt: skip
    anchor: Anchor = option(
        Anchor.CENTER, "Anchor", "Which part stays when cover crops, and where the picture lies when pad adds borders."
    )
    padding: str = option(
        "blur", "Padding", "What pad puts around the picture: blur (its own blurred edge) or a color such as #202020."
    )
    before: tuple[str, ...] = option(
        (), "Models before", "Networks that run first, in this order: usually one that removes noise or JPEG damage."
    )
    after: tuple[str, ...] = option(
        (), "Models after", "Networks that run on the enlarged picture, in this order: slow, for a last clean-up."
    )
    second_model: str = option(
        "", "Second upscaler", "A second network whose result is blended into the first one's. Doubles the time."
    )
    second_weight: float = option(
        0.5, "Second upscaler visibility", "How much of the second result is seen: 0 none of it, 1 nothing else.",
        minimum=0.0, maximum=1.0, step=0.05,
    )  # fmt: skip
    alpha: AlphaMode = option(
        AlphaMode.MODEL, "Alpha",
        "What happens to transparency: model enlarges it with the network, resample with a plain filter (faster), "
        "drop removes it.",
    )  # fmt: skip
    tile: int = option(
        AUTOMATIC, "Tile",
        "Side of the squares in which the network sees the picture, in source pixels. 0 chooses what fits the memory. "
        "Set it lower if memory runs out in other programs.",
        minimum=0, maximum=8192, step=8,
    )  # fmt: skip
    overlap: int | None = option(
        None, "Overlap",
        "How many source pixels neighboring tiles share. Automatic takes what the network needs for invisible "
        "borders; set it only to trade quality for speed.",
        minimum=0, maximum=1024, step=1,
    )  # fmt: skip
    precision: Precision = option(
        Precision.AUTO, "Precision",
        "What the network computes in. Automatic uses half precision on a graphics card where the network allows it: "
        "twice as fast, invisible in the result. Full is the reference.",
    )  # fmt: skip
    backend: Backend = option(
        Backend.TORCH, "Backend",
        "What runs the network. compile pays off for many pictures of one size; openvino makes transformer networks "
        "about four times faster on a CPU and needs the package openvino.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_numbers(self)
        _check_target(self)
        if self.tile and self.overlap is not None and self.overlap >= self.tile:
            raise SettingsError(
                f"The overlap of {self.overlap} leaves nothing of a tile of {self.tile}",
                "set the overlap below half of the tile",
            )
        if self.padding != "blur" and not _is_color(self.padding):
            raise SettingsError(f"'{self.padding}' is no padding", "write blur or a color such as #202020")

    @property
    def target(self) -> Target | None:
        """The size asked for, or None: the model's own scale."""
        if self.width is not None and self.height is not None:
            return Box(self.width, self.height, self.fit, self.anchor)
        single: tuple[tuple[float | None, Any], ...] = (
            (self.scale, Factor),
            (self.width, Width),
            (self.height, Height),
            (self.longest, LongestSide),
            (self.shortest, ShortestSide),
            (self.megapixels, Megapixels),
        )
        return next((make(value) for value, make in single if value is not None), None)


def _check_target(settings: UpscaleSettings) -> None:
    ways = [
        name
        for name, given in (
            ("scale", settings.scale is not None),
            ("width/height", settings.width is not None or settings.height is not None),
            ("longest", settings.longest is not None),
            ("shortest", settings.shortest is not None),
            ("megapixels", settings.megapixels is not None),
        )
        if given
    ]
    if len(ways) > 1:
        raise SettingsError(f"The target is given more than once ({', '.join(ways)})", "keep one of them")


def _is_color(text: str) -> bool:
    digits = text.removeprefix("#")
    return text.startswith("#") and len(digits) in (3, 6) and all(c in "0123456789abcdefABCDEF" for c in digits)
