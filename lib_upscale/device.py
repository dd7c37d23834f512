"""The device that torch computes on: choose it, ask for its free memory, recognize that memory ran out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil
import torch

from lib_upscale.errors import SettingsError

__all__ = [
    "choose_device",
    "fixed_precision",
    "free_memory",
    "is_out_of_memory",
    "release_memory",
    "retain_malloc_pages",
    "suits_bfloat16",
]


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device of a name.

    Args:
        name: "cuda", "cuda:1", "mps", "xpu", "directml" or "cpu"; "auto" is the best there is.

    Raises:
        SettingsError: torch has no such device here.
    """
    wanted = name.strip().lower()
    if wanted == "auto":
        return next(device for kind in ("cuda", "xpu", "mps", "cpu") if (device := _available(kind)) is not None)
    device = _directml() if wanted.startswith("directml") else _available(wanted)
    if device is None:
        raise SettingsError(f"torch has no device called '{name}' here", "use auto or cpu")
    return device


def _available(name: str) -> torch.device | None:
    try:
        device = torch.device(name)
    except RuntimeError:
        return None
    index = device.index or 0
    if device.type == "cpu":
        return device
    if device.type == "mps":
        return device if torch.backends.mps.is_available() else None
    module = getattr(torch, device.type, None)
    if device.type not in ("cuda", "xpu") or module is None or not module.is_available():
        return None
    return device if index < module.device_count() else None


def _directml() -> torch.device | None:
    try:
        import torch_directml
    except ImportError:
        return None
    device: torch.device = torch_directml.device()
    return device


def suits_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is fast there. On a CPU it is far slower than float32, whatever torch says."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "xpu"


@contextmanager
def fixed_precision(device: torch.device) -> Iterator[None]:
    """Compute in the types of the tensors inside `with`, even within somebody else's `torch.autocast`.

    A host samples under autocast, and runs upscalers from there: a float32 network would silently compute in half.
    """
    try:
        autocast = torch.autocast(device.type, enabled=False)
    except RuntimeError:  # torch knows no autocast for this device, so none can be on
        yield
        return
    with autocast:
        yield


def free_memory(device: torch.device) -> int:
    """Return the bytes that can be had there now, what torch holds in reserve counted as free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def release_memory(device: torch.device) -> None:
    """Give the memory that torch caches back to the device."""
    gc.collect()
    module: Any = getattr(torch, device.type, None)
    if device.type in ("cuda", "xpu", "mps") and hasattr(module, "empty_cache"):
        module.empty_cache()


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: ",
    "MPS backend out of memory",
    "Could not allocate tensor with",  # DirectML
    "CUDA error: out of memory",
    "HIP out of memory",
    "HIP error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HIPBLAS_STATUS_ALLOC_FAILED",
    "miopenStatusAllocFailed",
    "UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY",  # xpu
    "UR_RESULT_ERROR_OUT_OF_RESOURCES",
    "std::bad_alloc",
    "can't start new thread",  # a thread's stack is memory too
)
"""What libraries below torch say when memory ran out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out.

    torch has types for CUDA (one more general since 2.5). Everything else is a RuntimeError (or, since torch 2.8, an
    `AcceleratorError`, which is one too), known by what it says.
    """
    types: tuple[type[BaseException], ...] = (MemoryError, torch.cuda.OutOfMemoryError)
    if isinstance(error, (*types, *((general,) if (general := getattr(torch, "OutOfMemoryError", None)) else ()))):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(mark in text for mark in _OUT_OF_MEMORY)


# glibc's mallopt parameters and their defaults (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_TRIM_DEFAULT, _MMAP_MAX_DEFAULT = 128 * 1024, 65536


@contextmanager
def retain_malloc_pages(device: torch.device) -> Iterator[None]:
    """Let glibc keep the memory of a network's activations from one layer to the next, inside `with`.

    By default every activation above 128 KB is mapped anew and its pages are zeroed by the kernel at first touch,
    which costs a third of the time of a convolution network on a CPU. At the end the defaults are restored and the
    memory is given back. Does nothing elsewhere than on a CPU with glibc.
    """
    libc = _glibc() if device.type == "cpu" else None
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _MMAP_MAX_DEFAULT)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_DEFAULT)
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
