"""The host's VAE run by tiles for a while: its encoder and decoder are called as ever, by whoever calls them."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from lib_upscale import vae
from lib_upscale.device import free_memory
from lib_upscale.errors import UpscalePlusError
from lib_upscale.progress import SILENT, Progress
from lib_upscale.settings.redraw import VaeMode
from lib_upscale.vae import Spill, read_decoder, read_encoder
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import vae_reserves
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.protocols import HostVae

__all__ = ["can_run_by_tiles", "vae_by_tiles"]

_SMALLEST = 2 * vae.MARGIN + 16
"""Pixels a side of a tile of the VAE: below it the fast mode would compute margins alone."""


_ABANDONED = 6 * 3600.0
"""Seconds without a new file after which nobody works in a folder of activations: a run adds one at every layer."""


def can_run_by_tiles(network: HostVae) -> bool:
    """Whether this VAE is built as Stable Diffusion's is."""
    try:
        read_encoder(network.encoder)
        read_decoder(network.decoder)
    except UpscalePlusError:
        return False
    return True


def _precision(part: torch.nn.Module, given: Tensor) -> torch.dtype:
    """What a part of the VAE is to compute in: no less than its weights are kept in.

    Under the host's autocast, a VAE that was told to stay in full precision is handed values in half.
    """
    return torch.promote_types(next(part.parameters()).dtype, given.dtype)


@contextmanager
def vae_by_tiles(
    network: HostVae, tile: int, mode: VaeMode = VaeMode.EXACT, progress: Progress = SILENT
) -> Iterator[None]:
    """Whoever calls the VAE while this lasts has it run by tiles.

    Latents stay on the device, pixels come out on the CPU. Activations that would take more than half of the free
    memory wait in files, in the folder of the person's data; none is left behind.

    Args:
        network: The VAE.
        tile: Pixels a side.
        mode: Exact, or fast with a margin.
        progress: Moved by each call, and asked whether to stop.
    """
    side = max(tile, _SMALLEST)
    folder = environment.data_path() / "upscale-plus" / "vae"
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    spill = Spill(folder, free_memory(torch.device("cpu")) // 2)

    def by_tiles(run: Callable[..., Tensor], part: torch.nn.Module, values: Tensor) -> Tensor:
        return run(
            part,
            values,
            tile=side,
            mode=mode,
            spill=spill,
            device=values.device,
            dtype=_precision(part, values),
            progress=progress,
        )

    def encode(images: Tensor, *_: object, **__: object) -> Tensor:
        return by_tiles(vae.encode, network.encoder, images).to(images)

    def decode(latents: Tensor, *_: object, **__: object) -> Tensor:
        return by_tiles(vae.decode, network.decoder, latents).to(latents.dtype)

    encoder, decoder = replaced(network.encoder, "forward", encode), replaced(network.decoder, "forward", decode)
    with vae_reserves(side), encoder, decoder:
        yield


def _sweep(folder: Path) -> None:
    """Remove what runs have left that were killed; another WebUI may be at work in the same folder."""
    for left in folder.glob("vae-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
