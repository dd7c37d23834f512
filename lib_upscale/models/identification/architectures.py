"""Collects the architectures that weights can be recognized as: spandrel's, and those of spandrel-extra-arches.

spandrel's registry belongs to the whole process, a host included, so it is copied and never added to.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ArchSupport

__all__ = ["EXPECTED", "missing_architectures", "registry"]

EXPECTED: tuple[str, ...] = tuple(
    """ATD AdaCode AuraSR CRAFT CodeFormer Compact DAT DCTLSA DDColor DITN DRCT DRUNet DnCNN ESRGAN FBCNN FDAT FFTformer
    FeMaSR GFPGAN GRL HAT HVICIDNet IPT KBNet LaMa M3SNet MAT MIRNet2 MMRealSR MPRNet MixDehazeNet MoESR MoSR NAFNet
    OmniSR PLKSR RCAN RGT RealCUGAN RestoreFormer Restormer RetinexFormer SAFMN SAFMNBCIE SCUNet SPAN SRFormer SeemoRe
    SwiftSRGAN Swin2SR SwinIR Uformer""".split()  # noqa: SIM905
)
"""The ids in spandrel 0.4.2 and spandrel-extra-arches 0.2.0."""

_lock = threading.Lock()
_source: list[ArchSupport] = []
_copy: ArchRegistry | None = None


def registry() -> ArchRegistry:
    """Collect all architectures that are installed, also those that the host added to spandrel's registry.

    Returns:
        The same object until spandrel's registry grows.

    Raises:
        ImportError: spandrel is missing.
    """
    from spandrel import MAIN_REGISTRY

    from lib_upscale.models.identification.resized_compact import RESIZED_COMPACT

    global _copy, _source
    with _lock:
        source = MAIN_REGISTRY.architectures()
        if _copy is None or source != _source:
            _copy = MAIN_REGISTRY.copy()
            _copy.add(*(support for support in _extra() if support.architecture.id not in _copy))
            _copy.add(RESIZED_COMPACT)
            _source = source
        return _copy


def missing_architectures() -> tuple[str, ...]:
    """List the ids in `EXPECTED` that the installed spandrel does not have, because it is older or alone.

    Neither package is imported, which would take a second at a program's start: each architecture is a folder of it.
    """
    installed: set[str] = set()
    for package in ("spandrel", "spandrel_extra_arches"):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            installed.update(folder.name for folder in Path(place, "architectures").glob("*"))
    return tuple(name for name in EXPECTED if name not in installed)


def _extra() -> list[ArchSupport]:
    """The architectures of spandrel-extra-arches, whose licenses are other than spandrel's; none if it is absent."""
    try:
        from spandrel_extra_arches import EXTRA_REGISTRY
    except ImportError:
        return []
    return list(EXTRA_REGISTRY)
