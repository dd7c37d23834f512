"""What a model file is, as plain data that needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Identity", "Kind", "NetworkFacts", "SizeRequirements", "TilingSupport"]


class Kind(str, Enum):
    """What a file is. The values are the words of `identify --json`."""

    UPSCALER = "upscaler"
    RESTORER = "restorer"
    FACE_RESTORER = "face-restorer"
    INPAINTING = "inpainting"
    STABLE_DIFFUSION = "stable-diffusion"
    LORA = "lora"
    VAE = "vae"
    CONTROLNET = "controlnet"
    EMBEDDING = "embedding"
    HYPERNETWORK = "hypernetwork"
    TEXT_ENCODER = "text-encoder"
    DETECTOR = "detector"
    LATENT_UPSCALER = "latent-upscaler"
    GGUF = "gguf"
    ONNX = "onnx"
    NCNN = "ncnn"
    TORCHSCRIPT = "torchscript"
    DAMAGED = "damaged"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"


class TilingSupport(str, Enum):
    """Whether a network may be run on an image in tiles; spandrel's three answers."""

    SUPPORTED = "supported"
    DISCOURAGED = "discouraged"
    INTERNAL = "internal"


@dataclass(frozen=True)
class SizeRequirements:
    """What a network demands of the size of its input, in pixels."""

    minimum: int = 0
    """No side may be shorter. A multiple of `multiple_of`."""
    multiple_of: int = 1
    """Both sides must be a multiple of this. At least 1."""
    square: bool = False
    """Both sides must be equal."""


@dataclass(frozen=True)
class NetworkFacts:
    """What spandrel says of a network after a full load."""

    architecture: str
    """spandrel's id of the architecture: "ESRGAN", "SwinIR", "Compact"."""
    architecture_name: str
    """The same for people: "RealESRGAN Compact"."""
    purpose: str
    """spandrel's word: "SR", "Restoration", "FaceSR" or "Inpainting"."""
    scale: int
    """Output side over input side, at least 1."""
    input_channels: int
    output_channels: int
    tags: tuple[str, ...] = ()
    tiling: TilingSupport = TilingSupport.SUPPORTED
    size_requirements: SizeRequirements = SizeRequirements()
    supports_half: bool = False
    supports_bfloat16: bool = False


@dataclass(frozen=True)
class Identity:
    """What one file is. `identify` makes it; the catalog keeps it on disk."""

    path: Path
    """The file as it was named; for an ncnn pair the `.param` file."""
    kind: Kind
    architecture: str | None = None
    """`network.architecture` where there is a network; else a finer word for the kind where one
    is known ("Stable Diffusion XL", "LyCORIS LoKr"), else None."""
    network: NetworkFacts | None = None
    """Present exactly for upscalers, restorers, face restorers and inpainting models."""
    problem: str | None = None
    """What is wrong with the file, or why it can't upscale, in plain words. None for an upscaler or restorer."""
    advice: str | None = None
    """What to do about it. Never empty but for upscalers, restorers and unknown files."""

    @property
    def usable(self) -> bool:
        """Whether it can be offered as an upscaler: kind `upscaler` or `restorer`."""
        return self.kind in (Kind.UPSCALER, Kind.RESTORER)
