"""Which WebUI this is, how it was started, what is set on its settings page, and where its folders are.

Every question "is this Forge?" is asked here and nowhere else.
"""

from __future__ import annotations

import argparse
import sys
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from lib_upscale.webui import private
from lib_upscale.webui.host.console import say
from lib_upscale.webui.host.protocols import HostForgeObjects, HostMemoryManagement, HostOptions, HostState

__all__ = [
    "HostKind",
    "add_option",
    "api_credentials",
    "api_is_on",
    "cache_path",
    "cmd_opts",
    "command_line_options",
    "data_path",
    "forge_objects",
    "has_tooltips",
    "hidden_folders",
    "host_kind",
    "is_supported",
    "memory_management",
    "models_path",
    "option",
    "opts",
    "short_hash",
    "state",
]

_T = TypeVar("_T")

_UPSCALE_PLUS = "upscale-plus"


class HostKind(Enum):
    """The families of WebUIs that differ in how a model is kept in memory and called."""

    A1111 = "AUTOMATIC1111"
    FORGE = "Forge"
    REFORGE = "reForge or Forge Classic"


_MEMORY_MANAGEMENT = {
    "backend.memory_management": HostKind.FORGE,
    "ldm_patched.modules.model_management": HostKind.REFORGE,
}
"""Module that manages the memory of models -> whose it is; AUTOMATIC1111's has none."""


def host_kind() -> HostKind:
    """Which WebUI this is."""
    return next((kind for name, kind in _MEMORY_MANAGEMENT.items() if _manager(name)), HostKind.A1111)


def memory_management() -> HostMemoryManagement | None:
    """The module of the Forge family that loads and unloads models; None for AUTOMATIC1111's."""
    module = next((module for name in _MEMORY_MANAGEMENT if (module := _manager(name))), None)
    return cast("HostMemoryManagement | None", module)


def _manager(name: str) -> ModuleType | None:
    module = sys.modules.get(name)
    is_known = hasattr(module, "free_memory") and hasattr(module, "minimum_inference_memory")
    return module if is_known else None


def forge_objects(model: object) -> HostForgeObjects | None:
    """Where the Forge family keeps a model's UNet and VAE; None for a model of AUTOMATIC1111's."""
    objects: HostForgeObjects | None = getattr(model, "forge_objects", None)
    return objects


@cache
def is_supported() -> bool:
    """Whether this WebUI has what the extension needs; if not, that is said once, and nothing may be connected.

    SD.Next generates by diffusers: it has neither these random numbers nor a second pass that could be replaced.
    """
    from modules import processing

    kind = getattr(processing, "StableDiffusionProcessingTxt2Img", None)
    supported = private.host_is_known() and hasattr(kind, "sample_hr_pass")
    if not supported:
        say("this WebUI is not supported, the extension does nothing here; AUTOMATIC1111, Forge and reForge are")
    return supported


def has_tooltips() -> bool:
    """Whether the host has taught gradio's components the argument `tooltip`."""
    return any(name in sys.modules for name in ("modules.gradio_extensons", "modules.gradio_extensions"))


def state() -> HostState:
    """The host's state of the running job."""
    from modules import shared

    current: HostState = shared.state
    return current


def opts() -> HostOptions:
    """The host's settings. Values are read by `option`."""
    from modules import shared

    current: HostOptions = shared.opts
    return current


def cmd_opts() -> argparse.Namespace:
    """The arguments that the WebUI was started with, as attributes."""
    from modules import shared

    arguments: argparse.Namespace = shared.cmd_opts
    return arguments


def add_option(key: str, info: str, *arguments: object, **named: object) -> None:
    """Add a setting to the host's settings page; the arguments are those of the host's `OptionInfo`."""
    from modules import shared

    shared.opts.add_option(key, shared.OptionInfo(*arguments, **named).info(info))


def hidden_folders() -> dict[str, object]:
    """What the host gives every component that names folders: invisible with `--hide-ui-dir-config`."""
    from modules import shared

    return dict(getattr(shared, "hide_dirs", {}))


def option(key: str, default: _T) -> _T:
    """A value of the settings page; the default before the page has been built for the first time."""
    value: _T | None = getattr(opts(), key, default)
    return default if value is None else value


def command_line_options() -> dict[str, object]:
    """Name -> value of all arguments that the WebUI was started with."""
    return dict(vars(cmd_opts()))


def api_is_on() -> bool:
    """Whether the WebUI was started with its API."""
    return bool(command_line_options().get("api") or command_line_options().get("nowebui"))


def api_credentials() -> dict[str, str]:
    """User -> password of `--api-auth`; empty if the API is open."""
    credentials = str(command_line_options().get("api_auth") or "")
    pairs = [pair.partition(":") for pair in credentials.split(",") if pair]
    return {user: password for user, _, password in pairs}


def models_path() -> Path:
    """The folder `models`."""
    from modules import paths

    return Path(paths.models_path)


def data_path() -> Path:
    """The folder of the person's data: settings, outputs, models."""
    from modules import paths

    return Path(paths.data_path)


def cache_path() -> Path:
    """The folder of the extension for what can be made again."""
    return Path(private.cache_folder())


def short_hash(path: Path) -> str | None:
    """The first ten digits of a file's SHA-256, kept by the host; None where the host was told not to compute any."""
    from modules import hashes

    try:
        whole = hashes.sha256(str(path), f"{_UPSCALE_PLUS}/{path}")
    except Exception:
        return None
    return whole[:10] if whole else None
