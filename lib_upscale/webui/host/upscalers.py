"""The host's list of upscalers, its loader of networks, and its downloads."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import upscaler_device
from lib_upscale.webui.host.protocols import HostUpscalerEntry

__all__ = ["download", "is_host_scaler", "list_upscalers", "load_network", "new_entry", "scaler_folders"]


def list_upscalers() -> list[HostUpscalerEntry]:
    """The host's own list of upscalers: changing it changes what the host offers."""
    from modules import shared

    upscalers: list[HostUpscalerEntry] = shared.sd_upscalers
    return upscalers


def is_host_scaler(scaler: object) -> bool:
    """Whether a scaler's class is the WebUI's own, of its modules or its built-in extensions."""
    kind = type(scaler)
    if kind.__module__.partition(".")[0] == "modules":
        return True
    from modules import paths

    builtin = getattr(paths, "extensions_builtin_dir", None)
    functions = (value for value in vars(kind).values() if isinstance(value, FunctionType))
    return builtin is not None and any(Path(builtin) in Path(f.__code__.co_filename).parents for f in functions)


def scaler_folders() -> list[Path]:
    """The folders from which the WebUI's own scalers list files, each by what the scaler says itself."""
    folders = []
    for entry in list_upscalers():
        original = getattr(entry.scaler, "original", None) or entry  # ours may have taken its place
        if original.data_path and is_host_scaler(original.scaler):
            named = (getattr(original.scaler, name, None) for name in ("model_path", "user_path"))
            folders += [Path(folder) for folder in named if isinstance(folder, (str, Path)) and str(folder)]
    return [folder for folder in dict.fromkeys(folders) if folder != environment.models_path()]


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
