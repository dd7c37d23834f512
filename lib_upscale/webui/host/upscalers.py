"""The host's list of upscalers, its loader of networks, and its downloads."""

from __future__ import annotations

from pathlib import Path

from lib_upscale.webui.host.model import upscaler_device
from lib_upscale.webui.host.protocols import HostUpscalerEntry

__all__ = ["download", "list_upscalers", "load_network", "new_entry"]


def list_upscalers() -> list[HostUpscalerEntry]:
    """The host's own list of upscalers: changing it changes what the host offers."""
    from modules import shared

    upscalers: list[HostUpscalerEntry] = shared.sd_upscalers
    return upscalers


def new_entry(name: str, path: str | None, scaler: object, scale: float) -> HostUpscalerEntry:
    """An entry for the host's list: the upscaler `name` with the file or address `path`, run by `scaler`."""
    from modules.upscaler import UpscalerData

    entry: HostUpscalerEntry = UpscalerData(name, path, upscaler=scaler, scale=scale)
    return entry


def load_network(path: Path) -> object:
    """The network of a file as the host's own loader gives it."""
    from modules import modelloader

    network: object = modelloader.load_spandrel_model(str(path), device=upscaler_device())
    return network


def download(address: str, folder: str, file_name: str) -> Path:
    """The file behind an address, fetched by the host into `folder`."""
    from modules import modelloader

    return Path(modelloader.load_file_from_url(address, model_dir=folder, file_name=file_name))
