"""The settings of upscaling with a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import AlphaMode
from lib_upscale.settings.fields import Group, option
from lib_upscale.settings.target import TargetSettings

__all__ = ["Backend", "Precision", "ResizeFilter", "UpscaleSettings"]


class Precision(str, Enum):
    """The number format in which a network computes."""

    AUTO = "auto"
    FULL = "full"
    HALF = "half"
    BFLOAT16 = "bfloat16"


class Backend(str, Enum):
    """The library that runs a network."""

    TORCH = "torch"
    COMPILE = "compile"
    OPENVINO = "openvino"


class ResizeFilter(str, Enum):
    """What brings the image to its exact size: the methods of `lib_upscale.image.resampling`."""

    LANCZOS = "lanczos"
    BICUBIC = "bicubic"
    BILINEAR = "bilinear"
    BOX = "box"
    NEAREST = "nearest"


@dataclass(frozen=True)
class UpscaleSettings(TargetSettings):
    """How `upscale()` enlarges an image. Every value is checked on construction (`SettingsError`).

    Without a target the result has the model's own scale.
    """

    model: str = option(
        "",
        "Upscaler",
        "The model that upscales the image. Empty: the default model.",
        Group.UPSCALER,
        "upscaler",
        names_model=True,
    )
    second_model: str = option(
        "",
        "Second upscaler",
        "A second model whose result is blended into that of the first one. Doubles the time.",
        Group.SECOND,
        "second upscaler",
        names_model=True,
    )
    second_weight: float = option(
        0.5,
        "Second upscaler visibility",
        "How much of the second result shows: 0 is the first model only, 1 the second only.",
        Group.SECOND,
        "second upscaler visibility",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        slider=(0.0, 1.0),
        needs="second_model",
    )
    before: tuple[str, ...] = option(
        (),
        "Models before",
        "Models that run before the upscaler, in this order: usually one that removes noise or JPEG artifacts.",
        Group.BEFORE,
        "models before",
        names_model=True,
    )
    after: tuple[str, ...] = option(
        (),
        "Models after",
        "Models that run on the enlarged image, in this order, for a last clean-up. Slow.",
        Group.AFTER,
        "models after",
        names_model=True,
    )
    padding: str = option(
        "blur",
        "Padding",
        "What pad fills the borders with: blur (the blurred edge of the image) or a color such as #202020.",
        Group.TARGET,
        "padding",
        is_color=True,
    )
    alpha: AlphaMode = option(
        AlphaMode.MODEL,
        "Alpha",
        "What happens to transparency: model upscales it with the model, resample with a plain filter (faster), drop "
        "removes it.",
        Group.OUTPUT,
        "alpha",
    )
    resize_filter: ResizeFilter = option(
        ResizeFilter.LANCZOS,
        "Resize filter",
        "What brings the image from the model's scale to the exact size: lanczos is the sharpest, bicubic and bilinear "
        "are softer and have no halos, box averages, nearest keeps every color and the hard edges of pixel art.",
        Group.OUTPUT,
        "resize filter",
    )
    precision: Precision = option(
        Precision.AUTO,
        "Precision",
        "The number format of the model. auto takes half precision on a graphics card where the model allows it: twice "
        "as fast, with no visible difference. full is the reference.",
        Group.COMPUTE,
        "precision",
        on_settings_page=True,
    )
    backend: Backend = option(
        Backend.TORCH,
        "Backend",
        "What runs the model. compile pays off for many images of one size; openvino makes transformer models about "
        "four times faster on a CPU and needs the package openvino.",
        Group.COMPUTE,
        "backend",
    )
    tile: int | None = option(
        None,
        "Tile",
        "Tile size in pixels of the source image. Set it lower if other programs run out of memory.",
        Group.MEMORY,
        "tile",
        on_settings_page=True,
        minimum=1,
        maximum=8192,
        step=8,
        automatic="Automatic takes the largest that fits into memory.",
    )
    overlap: int | None = option(
        None,
        "Overlap",
        "How many pixels of the source image neighboring tiles share. Set it only to trade quality for speed.",
        Group.MEMORY,
        "overlap",
        on_settings_page=True,
        minimum=0,
        maximum=1024,
        step=1,
        automatic="Automatic takes what the model needs for seamless results.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tile is not None and self.overlap is not None and self.overlap >= self.tile:
            raise SettingsError(
                f"The overlap of {self.overlap} leaves nothing of a tile of {self.tile}",
                "set the overlap below half of the tile",
            )
        if self.padding != "blur" and not _is_color(self.padding):
            raise SettingsError(f"'{self.padding}' is not a valid padding", "write blur or a color such as #202020")


def _is_color(text: str) -> bool:
    digits = text.removeprefix("#")
    return text.startswith("#") and len(digits) in (3, 6) and all(c in "0123456789abcdefABCDEF" for c in digits)
