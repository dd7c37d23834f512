"""Collects the architectures that weights can be recognized as: spandrel's, spandrel-extra-arches', and resselt's.

spandrel's registry belongs to the whole process, a host included, so it is copied and never added to.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ArchSupport

__all__ = ["EXPECTED", "RESSELT", "missing_architectures", "registry"]

RESSELT: tuple[str, ...] = tuple(
    """EIMN FIGSR FlexNet GFISR GFISRV2 GateR GateRV2 GateRV3 LAWFFT MoSRv2 RHA RTMoSR SMoSR SPANPP
    SPANPlus""".split()  # noqa: SIM905
)
"""The ids of what is taken of resselt 1.4.1: what spandrel does not have."""

_SPANDREL: tuple[str, ...] = tuple(
    """ATD AdaCode AuraSR CRAFT CodeFormer Compact DAT DCTLSA DDColor DITN DRCT DRUNet DnCNN ESRGAN FBCNN FDAT FFTformer
    FeMaSR GFPGAN GRL HAT HVICIDNet IPT KBNet LaMa M3SNet MAT MIRNet2 MMRealSR MPRNet MixDehazeNet MoESR MoSR NAFNet
    OmniSR PLKSR RCAN RGT RealCUGAN RestoreFormer Restormer RetinexFormer SAFMN SAFMNBCIE SCUNet SPAN SRFormer SeemoRe
    SwiftSRGAN Swin2SR SwinIR Uformer""".split()  # noqa: SIM905
)
"""The ids in spandrel 0.4.2 and spandrel-extra-arches 0.2.0."""

EXPECTED: tuple[str, ...] = (*_SPANDREL, *RESSELT)
"""The ids of all architectures that are known where all packages are installed."""

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
            _copy.add(*(support for support in _resselt() if support.architecture.id not in _copy))
            _source = source
        return _copy


def missing_architectures() -> tuple[str, ...]:
    """List the ids in `EXPECTED` that the installed packages do not have, because one is older or missing.

    None is imported, which would take a second at a program's start: each architecture of spandrel is a folder of it.
    """
    installed: set[str] = set(RESSELT if find_spec("resselt") else ())
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


def _resselt() -> list[ArchSupport]:
    """The architectures of the package resselt; none if it is absent. They are asked last: spandrel's stand."""
    from spandrel import ArchSupport

    from lib_upscale.models.identification.resselt import FOURIER, GATED, is_installed

    return [ArchSupport.from_architecture(each) for each in (*GATED, *FOURIER)] if is_installed() else []
