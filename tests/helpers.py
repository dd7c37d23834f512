"""A person's model folder made of small real networks, and their models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lib_upscale.image.picture import Picture
from lib_upscale.models.catalog.catalog import Catalog
from lib_upscale.models.library import Models
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.models.runtime.model_cache import ModelCache


def compact(scale: int = 2, channels: int = 3, convolutions: int = 2) -> dict[str, torch.Tensor]:
    """The weights of a small random Compact network that gives a picture recognizably larger.

    Its last layer is the nearest-neighbor base that the architecture adds anyway, plus a little of its own.
    """
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(scale)
    network = Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=convolutions, upscale=scale)
    return {name: value * 0.5 for name, value in network.state_dict().items()}


def write(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """Save weights as safetensors."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


def models_in(folder: Path, notes: Path | None = None, **limits: Any) -> Models:
    """What the command line would make of a folder, on the CPU."""
    return Models(Catalog([folder], bundled=False), ModelCache("cpu", measurements=MeasurementStore(notes), **limits))


def whole(models: Models, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The network on the whole picture, by spandrel alone: what tiles must equal."""
    from lib_upscale.models.runtime.loader import load_network

    descriptor: Callable[[torch.Tensor], torch.Tensor] = load_network(models.find(name).path)  # type: ignore[assignment]
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    result = descriptor(image)[0].permute(1, 2, 0).numpy()
    return np.asarray(np.clip(result * 255 + 0.5, 0, 255), np.uint8)


def picture(width: int, height: int, channels: int = 3, alpha: bool = False, bits: int = 8, seed: int = 0) -> Picture:
    """Smooth shapes with some texture, as photographs have them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / random.uniform(3, 20) + y / random.uniform(3, 20) + random.uniform(0, 6)) for _ in range(channels)
    ]
    values = np.stack(waves, axis=2) * 0.4 + 0.5 + random.normal(0, 0.02, (height, width, channels))
    levels, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    pixels = np.rint(np.clip(values, 0, 1) * levels).astype(kind)
    disc = (np.hypot(x - width / 2, y - height / 2) < min(width, height) / 3) * levels
    return Picture(pixels, disc.astype(kind) if alpha else None)
