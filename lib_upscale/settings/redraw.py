"""The settings of a redraw by tiles: in the script, in hires fix and in the API alike.

What Stable Diffusion itself is given (prompt, steps, sampler, denoising strength, seed) belongs to the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lib_upscale.errors import SettingsError, TileTooSmallError
from lib_upscale.image.target import Factor, Target
from lib_upscale.settings.fields import Group, option
from lib_upscale.settings.methods import EVERYWHERE, JOINT_ONLY, SCRIPT_ONLY, TILES_ONLY, Page, RedrawMethod
from lib_upscale.settings.regions import PromptRegion, parse_regions
from lib_upscale.settings.target import TargetSettings

__all__ = [
    "Blend",
    "ColorLock",
    "Page",
    "PromptSource",
    "RedrawMethod",
    "RedrawSettings",
    "TileContext",
    "TileOrder",
    "VaeMode",
]

SMALLEST_TILE = 64
"""Pixels a side below which a base model generates nothing sensible."""


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
    """How the coarse colors of a tile are kept to those of the upscaled image."""

    WAVELET = "wavelet"
    GAUSSIAN = "gaussian"
    LAB = "lab"
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
class RedrawSettings(TargetSettings):
    """How `redraw()` enlarges and redraws an image. Every value is checked on construction (`SettingsError`).

    Without a target both sides are doubled.
    """

    upscaler: str = option(
        "",
        "Upscaler",
        "What enlarges the image before it is redrawn. Empty: the default model. None: a plain filter.",
        Group.UPSCALER,
        "upscaler",
        offered=SCRIPT_ONLY,
        axis=True,
        names_model=True,
    )
    method: RedrawMethod = option(
        RedrawMethod.TILES,
        "Method",
        "tiles redraws one tile after the other and can resume; joint (MultiDiffusion) denoises all tiles together at "
        "every step, which needs more RAM and leaves no seams.",
        Group.METHOD,
        "method",
        offered=EVERYWHERE,
        axis=True,
    )
    tile: int | None = option(
        None,
        "Tile",
        "Tile size in pixels. Larger tiles keep more context and need more memory.",
        Group.METHOD,
        "tile",
        minimum=1,
        maximum=8192,
        step=8,
        automatic="Automatic takes what suits the base model and costs least: about 512 for SD 1.x, 1024 for SDXL.",
        offered=EVERYWHERE,
        axis=True,
    )
    overlap: int | None = option(
        None,
        "Overlap",
        "How many pixels neighboring tiles share. More hides differences between tiles better and takes longer.",
        Group.METHOD,
        "overlap",
        minimum=0,
        maximum=2048,
        step=8,
        automatic="Automatic takes an eighth of the tile.",
        offered=EVERYWHERE,
        axis=True,
    )
    vae: VaeMode = option(
        VaeMode.EXACT,
        "VAE",
        "How large images pass the VAE where it runs by tiles: exact equals the whole image at once, fast estimates "
        "its statistics from a small copy.",
        Group.LATENT,
        "vae",
        # Hires fix by tiles decodes an enlarged latent with it.
        offered={**EVERYWHERE, **{Page.SCRIPT: JOINT_ONLY[Page.SCRIPT]}},
        axis=True,
    )
    shift: bool = option(
        False,
        "Grid shift",
        "Method joint only: moves the inner tiles at every step, which spreads what little a seam leaves. It changes "
        "the result.",
        Group.LATENT,
        "grid shift",
        offered=JOINT_ONLY,
    )
    batch_size: int = option(
        1,
        "Tiles at once",
        "How many tiles are redrawn together. More is faster on a graphics card with memory to spare; it drops to 1 "
        "by itself if memory runs out.",
        Group.LATENT,
        "tiles at once",
        minimum=1,
        maximum=64,
        step=1,
        slider=(1, 16),
        # In img2img the host's own batch size takes its place.
        offered={Page.HIRES: EVERYWHERE[Page.HIRES]},
        changes_result=False,
    )
    order: TileOrder = option(
        TileOrder.ROWS,
        "Order",
        "In which order tiles are redrawn: rows, checkerboard (every second tile first), or spiral from the center. "
        "It changes the result only in sequential mode.",
        Group.ORDER,
        "order",
        offered=TILES_ONLY,
        axis=True,
    )
    mode: TileContext = option(
        TileContext.INDEPENDENT,
        "Mode",
        "independent redraws each tile from the enlarged image, so that the order does not matter; sequential shows a "
        "tile its redrawn neighbors, which helps at high denoising strength.",
        Group.ORDER,
        "mode",
        offered=TILES_ONLY,
        axis=True,
    )
    blend: Blend = option(
        Blend.MULTIBAND,
        "Blend",
        "How overlapping tiles are merged: multiband cuts fine detail where tiles agree best and fades coarse shapes, "
        "cut only cuts, linear fades everything and can blur where tiles disagree.",
        Group.ORDER,
        "blend",
        offered=TILES_ONLY,
        axis=True,
    )
    color_lock: ColorLock = option(
        ColorLock.WAVELET,
        "Color lock",
        "Keeps the coarse colors of each tile close to the enlarged image, so that no tile drifts. lab also keeps "
        "their contrast and leaves no halos around contours; wavelet keeps only the colors, gaussian only the broad "
        "ones; off lets the model change colors.",
        Group.DETAIL,
        "color lock",
        former_infotext=("colour lock",),
        # The script locks the image of the method joint as one tile; hires fix hands it to the host as it is.
        offered={**TILES_ONLY, **SCRIPT_ONLY},
        axis=True,
    )
    skip_flat: float = option(
        0.0,
        "Skip flat tiles",
        "Tiles with less detail than this, such as clear sky, are not redrawn. In levels of 255: 0 redraws all, 2 "
        "skips smooth gradients, 6 soft backgrounds too.",
        Group.DETAIL,
        "skip flat tiles",
        minimum=0.0,
        maximum=64.0,
        step=0.5,
        slider=(0.0, 32.0),
        offered=TILES_ONLY,
        axis=True,
    )
    flat_strength: float | None = option(
        None,
        "Strength for flat tiles",
        "Denoising strength of the flattest tiles; others lie between it and the denoising strength, by their detail.",
        Group.DETAIL,
        "strength for flat tiles",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        automatic="Automatic uses the denoising strength for all tiles.",
        offered=TILES_ONLY,
        axis=True,
    )
    passes: int = option(
        1,
        "Passes",
        "In how many steps the image is enlarged and redrawn: 2 does 4x as 2x and 2x.",
        Group.PASSES,
        "passes",
        minimum=1,
        maximum=4,
        step=1,
        slider=(1, 4),
        offered=SCRIPT_ONLY,
    )
    strengths: str = option(
        "",
        "Strength of passes",
        "A denoising strength for each pass, separated by commas, such as 0.4, 0.25. Empty: the same for all.",
        Group.PASSES,
        "strength of passes",
        offered=SCRIPT_ONLY,
    )
    prompt_source: PromptSource = option(
        PromptSource.PICTURE,
        "Prompt source",
        "picture uses the prompt of the image for every tile; tile uses the tile prompt, so that people do not appear "
        "in every tile; caption describes each tile with the CLIP interrogator, tags with DeepBooru.",
        Group.PROMPTS,
        "prompt source",
        offered=EVERYWHERE,
    )
    tile_prompt: str = option(
        "",
        "Tile prompt",
        "The prompt for tiles where the prompt source is tile. Empty: highly detailed.",
        Group.PROMPTS,
        "tile prompt",
        offered=EVERYWHERE,
    )
    regions: str = option(
        "",
        "Regions",
        "Other prompts for parts of the image, one on each line: left, top, right, bottom in percent, a colon, then "
        "the prompt. Such as 0, 0, 50, 100: an oak tree.",
        Group.REGIONS,
        "regions",
        lines=3,
        offered=EVERYWHERE,
    )
    seam_pass: bool = option(
        False,
        "Seam pass",
        "Measures every seam at the end and redraws those that are visible. Rarely needed.",
        Group.FINISH,
        "seam pass",
        offered=TILES_ONLY,
    )
    save_upscaled: bool = option(
        False,
        "Save upscaled image",
        "Also saves the enlarged image as it was before the redraw.",
        Group.FINISH,
        "save upscaled picture",
        offered=SCRIPT_ONLY,
        changes_result=False,
    )
    resume: bool = option(
        True,
        "Resume",
        "Continues the same job where it was interrupted. Off starts from the beginning.",
        Group.FINISH,
        "resume",
        offered=SCRIPT_ONLY,
        changes_result=False,
    )
    mask_padding: int = option(
        32,
        "Mask padding",
        "How many pixels around the mask the model also sees where only a masked part is redrawn.",
        Group.FINISH,
        "mask padding",
        minimum=0,
        maximum=512,
        step=8,
        slider=(0, 256),
        offered=SCRIPT_ONLY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tile is not None and self.tile < SMALLEST_TILE:
            raise TileTooSmallError(f"A tile of {self.tile} pixels is too small to redraw", SMALLEST_TILE)
        if self.tile is not None and self.overlap is not None and 2 * self.overlap >= self.tile:
            raise SettingsError(
                f"An overlap of {self.overlap} is half of a tile of {self.tile} or more",
                f"set the overlap below {self.tile // 2} or the tile above {2 * self.overlap}",
            )
        self.strength_of_passes(1.0)
        parse_regions(self.regions)

    @property
    def target(self) -> Target:
        """The size asked for; twice the image's own where none is."""
        return super().target or Factor(2.0)

    @property
    def prompt_regions(self) -> tuple[PromptRegion, ...]:
        """The regions with prompts of their own."""
        return parse_regions(self.regions)

    def strength_of_passes(self, strength: float) -> tuple[float, ...]:
        """The denoising strength of each pass; `strength` is the host's, for those that name none of their own."""
        if not self.strengths.strip():
            return (strength,) * self.passes
        try:
            values = tuple(float(word) for word in self.strengths.split(","))
        except ValueError:
            raise SettingsError(
                f"The strengths of the passes must be numbers, not '{self.strengths}'", "write for instance 0.4, 0.25"
            ) from None
        if len(values) != self.passes:
            given = f"{len(values)} strength{'s' if len(values) != 1 else ''}"
            raise SettingsError(
                f"There are {given} for {self.passes} pass{'es' if self.passes != 1 else ''}",
                "write one for each pass, or leave the field empty",
            )
        if not all(0 <= value <= 1 for value in values):
            raise SettingsError(f"The strengths of the passes '{self.strengths}' must lie between 0 and 1")
        return values
