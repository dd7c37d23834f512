"""What a person can set for a redraw by tiles: in the script, beside hires fix and in the API alike.

What Stable Diffusion itself is told (prompt, steps, sampler, denoising strength, seed) is the host's and not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from lib_upscale.errors import SettingsError, TileTooSmallError
from lib_upscale.image.target import Anchor, Box, Factor, Fit, Height, LongestSide, Target, Width
from lib_upscale.settings.fields import Settings, check_numbers, option

__all__ = [
    "Blend",
    "ColorLock",
    "PromptSource",
    "RedrawMethod",
    "RedrawSettings",
    "TileContext",
    "TileOrder",
    "VaeMode",
]

SMALLEST_TILE = 64
"""Pixels a side below which a base model draws nothing sensible."""


class RedrawMethod(str, Enum):
    """How tiles are denoised."""

    TILES = "tiles"
    JOINT = "joint"


class TileOrder(str, Enum):
    """In which order tiles are redrawn."""

    ROWS = "rows"
    CHECKERBOARD = "checkerboard"
    SPIRAL = "spiral"


class TileContext(str, Enum):
    """What a tile sees of its neighbors."""

    INDEPENDENT = "independent"
    SEQUENTIAL = "sequential"


class Blend(str, Enum):
    """How two overlapping tiles become one."""

    MULTIBAND = "multiband"
    CUT = "cut"
    LINEAR = "linear"


class ColorLock(str, Enum):
    """How the coarse colors of a tile are kept to those of the upscaled picture."""

    WAVELET = "wavelet"
    GAUSSIAN = "gaussian"
    OFF = "off"


class PromptSource(str, Enum):
    """Where the prompt of a tile comes from."""

    PICTURE = "picture"
    TILE = "tile"
    CAPTION = "caption"
    TAGS = "tags"


class VaeMode(str, Enum):
    """How exactly the tiled VAE follows the whole one."""

    EXACT = "exact"
    FAST = "fast"


@dataclass(frozen=True)
class RedrawSettings(Settings):
    """How `redraw()` enlarges and redraws a picture. Every value is checked on construction (`SettingsError`).

    At most one way of naming the target may be used: `scale`, or `width` and/or `height`, or `longest`. With none of
    them both sides are doubled.
    """

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
    fit: Fit = option(
        Fit.CONTAIN, "Fit",
        "What happens when width and height have another shape than the picture: contain keeps all of it, "
        "cover fills the size and crops, pad adds borders, stretch distorts.",
    )  # fmt: skip
    anchor: Anchor = option(
        Anchor.CENTER, "Anchor", "Which part stays when cover crops, and where the picture lies when pad adds borders."
    )
    upscaler: str = option(
        "",
        "Upscaler",
        "What enlarges the picture before it is redrawn. Empty: the default model. None: a plain filter.",
    )
    method: RedrawMethod = option(
        RedrawMethod.TILES, "Method",
        "tiles redraws one tile after the other and can resume; joint denoises all tiles together, step by step, which "
        "needs more memory on the host and leaves no borders at all.",
    )  # fmt: skip
    tile: int = option(
        0, "Tile",
        "Side of a tile in pixels. 0 chooses what suits the base model and costs least: about 512 for SD 1.x, 1024 for "
        "SDXL. Larger keeps more context but needs more memory.",
        minimum=0, maximum=8192, step=8,
    )  # fmt: skip
    overlap: int | None = option(
        None, "Overlap",
        "How many pixels neighboring tiles share. Automatic is an eighth of the tile; more hides differences between "
        "tiles better and takes longer.",
        minimum=0, maximum=2048, step=8,
    )  # fmt: skip
    order: TileOrder = option(
        TileOrder.ROWS, "Order",
        "In which order tiles are redrawn: rows, checkerboard (every second tile first), or spiral from the center. "
        "It changes the result only in sequential mode.",
    )  # fmt: skip
    mode: TileContext = option(
        TileContext.INDEPENDENT, "Mode",
        "independent redraws each tile from the enlarged picture, so the order does not matter; sequential shows a "
        "tile its redrawn neighbors, which helps at high denoising strength.",
    )  # fmt: skip
    blend: Blend = option(
        Blend.MULTIBAND, "Blend",
        "How overlapping tiles are merged: multiband cuts fine detail where tiles agree best and fades coarse shapes, "
        "cut only cuts, linear fades everything and can blur where tiles disagree.",
    )  # fmt: skip
    color_lock: ColorLock = option(
        ColorLock.WAVELET, "Color lock",
        "Keeps the coarse colors of each tile those of the enlarged picture, so that no tile drifts. wavelet keeps "
        "them more closely, gaussian only the broad ones, off lets the model change colors.",
    )  # fmt: skip
    skip_flat: float = option(
        0.0, "Skip flat tiles",
        "Tiles with less detail than this, such as clear sky, are not redrawn. In levels of 255: 0 redraws all, 2 "
        "skips smooth gradients, 6 soft backgrounds too.",
        minimum=0.0, maximum=64.0, step=0.5,
    )  # fmt: skip
    flat_strength: float | None = option(
        None, "Strength for flat tiles",
        "Denoising strength of the flattest tiles; others lie between it and the denoising strength, by their detail. "
        "Automatic uses one strength for all.",
        minimum=0.0, maximum=1.0, step=0.01,
    )  # fmt: skip
    passes: int = option(
        1, "Passes",
        "In how many steps the picture is enlarged and redrawn: 2 takes a factor of 4 as 2 times 2.",
        minimum=1, maximum=4, step=1,
    )  # fmt: skip
    strengths: str = option(
        "", "Strength of passes",
        "A denoising strength for each pass, separated by commas, such as 0.4, 0.25. Empty: the same for all.",
    )  # fmt: skip
    seam_pass: bool = option(
        False, "Seam pass",
        "Measures every border at the end and redraws those that stand out. Seldom needed.",
    )  # fmt: skip
    prompt_source: PromptSource = option(
        PromptSource.PICTURE, "Prompt source",
        "picture uses the prompt of the picture for every tile; tile uses the tile prompt, so that people do not "
        "appear in every tile; caption describes each tile by the CLIP interrogator, tags by DeepBooru's.",
    )  # fmt: skip
    tile_prompt: str = option(
        "", "Tile prompt", "The prompt for tiles where the prompt source is tile. Empty: highly detailed."
    )
    regions: str = option(
        "", "Regions",
        "Other prompts for parts of the picture, one on each line: left, top, right, bottom in percent, a colon, "
        "then the prompt. Such as 0, 0, 50, 100: an oak tree.",
    )  # fmt: skip
    mask_padding: int = option(
        32, "Mask padding",
        "Pixels around the mask that are shown to the model, too, where only a masked part is redrawn.",
        minimum=0, maximum=512, step=8,
    )  # fmt: skip
    batch_size: int = option(
        1, "Tiles at once",
        "How many tiles are redrawn together. More is faster on a graphics card with memory to spare; it drops to 1 "
        "by itself where memory runs out.",
        minimum=1, maximum=64, step=1,
    )  # fmt: skip
    vae: VaeMode = option(
        VaeMode.EXACT, "VAE",
        "How large pictures pass the VAE with the joint method: exact equals the whole picture at once, fast takes its "
        "statistics from a small copy.",
    )  # fmt: skip
    shift: bool = option(
        False, "Grid shift",
        "Joint method: moves the inner tiles from step to step, so that whatever a border leaves is spread. The result "
        "differs from that of a grid that stays.",
    )  # fmt: skip
    resume: bool = option(
        True, "Resume", "Continues the same job where it was interrupted. Off starts from the beginning."
    )
    save_upscaled: bool = option(
        False, "Save upscaled picture", "Also saves the enlarged picture as it was before the redraw."
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        self._check_target()
        if 0 < self.tile < SMALLEST_TILE:
            raise TileTooSmallError(f"A tile of {self.tile} pixels is too small to redraw", SMALLEST_TILE)
        if self.tile and self.overlap is not None and 2 * self.overlap >= self.tile:
            raise SettingsError(
                f"An overlap of {self.overlap} is half of a tile of {self.tile} or more",
                f"set the overlap below {self.tile // 2} or the tile above {2 * self.overlap}",
            )
        self.strength_of_passes(1.0)

    def _check_target(self) -> None:
        sides = self.width is not None or self.height is not None
        given = {"scale": self.scale is not None, "width/height": sides, "longest": self.longest is not None}
        ways = [name for name, is_given in given.items() if is_given]
        if len(ways) > 1:
            raise SettingsError(f"The target is given more than once ({', '.join(ways)})", "keep one of them")

    @property
    def target(self) -> Target:
        """The size asked for."""
        if self.width is not None and self.height is not None:
            return Box(self.width, self.height, self.fit, self.anchor)
        single: tuple[tuple[float | None, Any], ...] = (
            (self.scale, Factor),
            (self.width, Width),
            (self.height, Height),
            (self.longest, LongestSide),
        )
        return next((make(value) for value, make in single if value is not None), Factor(2.0))

    def strength_of_passes(self, strength: float) -> tuple[float, ...]:
        """The denoising strength of each pass; `strength` is the host's, for those that name none of their own."""
        if not self.strengths.strip():
            return (strength,) * self.passes
        words = self.strengths.split(",")
        try:
            values = tuple(float(word) for word in words)
        except ValueError:
            raise SettingsError(
                f"The strengths of the passes '{self.strengths}' are no numbers", "write for instance 0.4, 0.25"
            ) from None
        if len(values) != self.passes:
            raise SettingsError(
                f"There are {len(values)} strengths for {self.passes} passes", "write one for each, or none at all"
            )
        if not all(0 <= value <= 1 for value in values):
            raise SettingsError(f"The strengths of the passes '{self.strengths}' must lie between 0 and 1")
        return values
