"""What every test shares: real weights where they are, and a torchvision for a torch that has none."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("UPSCALE_PLUS_SHARED", ROOT.parent / "shared"))

# A slow machine is no bug.
settings.register_profile("upscale-plus", deadline=None)
settings.load_profile("upscale-plus")

# A shell starts programs in the background with Ctrl-C ignored; what is tested is how they hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_kept_alive: list[object] = []


def _declare_missing_torchvision_operators() -> None:
    """A torchvision without its compiled part can't be imported: two operators are unknown to torch.

    That happens where torch is a CPU build for which no torchvision was published, only ever on a
    developer's machine. spandrel needs torchvision's Python part alone, so their names are enough.
    """
    import torch

    if hasattr(torch.ops.torchvision, "nms"):
        return
    with contextlib.suppress(Exception):
        import torchvision

        _kept_alive.append(torchvision)
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(library)


_declare_missing_torchvision_operators()


def pytest_collection_finish() -> None:
    """Leave out of every garbage collection to come what stays until the end: the tests, torch, spandrel.

    What runs out of memory collects garbage each time; with a million objects to look at that takes half a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder with real published weights, or a skip that says so."""
    folder = SHARED / "models"
    if not folder.is_dir():
        pytest.skip(f"no real weights at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_images() -> Path:
    """The folder with real pictures, or a skip that says so."""
    folder = SHARED / "images"
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}")
    return folder
