"""The host's VAE run by tiles for a while: its encoder and decoder are called as ever, by whoever calls them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from lib_upscale.device import free_memory
from lib_upscale.errors import UpscalePlusError
from lib_upscale.progress import SILENT, Progress
from lib_upscale.vae import tiled as vae
from lib_upscale.vae.layers import read_decoder, read_encoder
from lib_upscale.vae.tiled import Spill, VaeMode
from lib_upscale.webui.host import environment

__all__ = ["is_known", "tiled_vae"]

_SMALLEST = 2 * vae.MARGIN + 16
"""Pixels a side of a tile of the VAE: below it the fast mode would compute margins alone."""


def is_known(network: Any) -> bool:
    """Whether this VAE is built as Stable Diffusion's is, so that it can run by tiles."""
    try:
        read_encoder(network.encoder)
        read_decoder(network.decoder)
    except UpscalePlusError:
        return False
    return True


@contextmanager
def tiled_vae(
    network: Any, tile: int, mode: VaeMode = VaeMode.EXACT, progress: Progress = SILENT
) -> Iterator[None]:  # fmt: skip
    """While it lasts, `network` (what has `encoder` and `decoder`) runs by tiles of `tile` pixels a side.

    Latents stay on the device, pixels come out on the CPU. Activations that would take more than half of the free
    memory wait in files, in the folder of the person's data; none is left behind.
    """
    side = max(tile, _SMALLEST)
    folder = environment.data_path() / "upscale-plus" / "vae"
    folder.mkdir(parents=True, exist_ok=True)
    spill = Spill(folder, free_memory(torch.device("cpu")) // 2)

    def encoder(values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        made = vae.encode(
            network.encoder, values, tile=side, mode=mode, spill=spill, device=values.device, dtype=values.dtype,
            progress=progress,
        )  # fmt: skip
        return made.to(values)

    def decoder(values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        made = vae.decode(
            network.decoder, values, tile=side, mode=mode, spill=spill, device=values.device, dtype=values.dtype,
            progress=progress,
        )  # fmt: skip
        return made.to(values.dtype)

    with ExitStack() as stack:
        stack.enter_context(_called(network.encoder, encoder))
        stack.enter_context(_called(network.decoder, decoder))
        yield


@contextmanager
def _called(module: Any, forward: Any) -> Iterator[None]:
    """Calls of the module go to `forward`; an attribute of the object hides the method of its class."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before
