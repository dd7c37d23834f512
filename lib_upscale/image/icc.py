"""Color profiles: made of the PNG chunks that say what the values mean, and applied where a format can't hold them."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["profile_of_chunks", "to_srgb"]

Matrix = NDArray[np.float64]
Curve = tuple[float, ...]
"""Parameters of an ICC parametric curve: the exponent alone, or g, a, b, c, d of its type 3 (ICC.1:2022, table 68)."""

_D50 = np.array([0.9642, 1.0, 0.8249])
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_BT709 = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue as x, y, in the order of the chunk cHRM; those of sRGB too."""
_PRIMARIES: Mapping[int, tuple[float, ...]] = {
    1: _BT709,
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""By their codes in ITU-T H.273, table 2."""
_SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: Mapping[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), _BT709_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
"""By their codes in H.273, table 3; those of HDR (16, 18) can't be said in a profile of this kind."""


def profile_of_chunks(chunks: Mapping[str, bytes], channels: int) -> bytes | None:
    """Make a profile of what cICP, or else gAMA and cHRM, say (PNG third edition, 4.3).

    Args:
        chunks: Their bodies, by kind.
        channels: 1 or 3, what it is for.

    Returns:
        The profile, b"" where they say sRGB, None where no such profile can say it: HDR and unusual codes.
    """
    if "cICP" in chunks:
        primaries, transfer, matrix, full_range = chunks["cICP"]
        if primaries not in _PRIMARIES or transfer not in _CURVES or matrix or full_range != 1:
            return None
        return _profile(_PRIMARIES[primaries], _CURVES[transfer], channels)
    if "sRGB" in chunks or not {"gAMA", "cHRM"} & set(chunks):
        return b""
    gamma = struct.unpack(">I", chunks["gAMA"])[0] / 100000 if "gAMA" in chunks else 0.45455
    points = tuple(value / 100000 for value in struct.unpack(">8I", chunks["cHRM"])) if "cHRM" in chunks else _BT709
    if not 0.1 <= gamma <= 10 or min(points[1::2]) <= 0:
        return None
    return _profile(points, _SRGB_CURVE if abs(gamma - 0.45455) < 0.001 else (1 / gamma,), channels)


def to_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8] | None:
    """Convert pixels (height, width, 1 or 3) from their profile's colors to those of sRGB; None if it is damaged."""
    gray = pixels.shape[2] == 1
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(pixels[..., 0] if gray else pixels),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if converted is None else np.array(converted)[..., : pixels.shape[2]]


def _profile(points: tuple[float, ...], curve: Curve, channels: int) -> bytes | None:
    """A profile of version 4 with a matrix and curves (ICC.1:2022, 8.3.3 and 8.4.3)."""
    if curve == _SRGB_CURVE and max(abs(a - b) for a, b in zip(points, _BT709, strict=True)) < 0.001:
        return b""
    xyz = [np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in zip(points[::2], points[1::2], strict=True)]
    adapted = _adaptation(xyz[0])
    try:
        shares = np.linalg.solve(np.stack(xyz[1:], axis=1), xyz[0])
    except np.linalg.LinAlgError:
        return None
    tags = {
        b"desc": _text("Colors of a PNG"),
        b"cprt": _text("Public domain"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + b"".join(map(_fixed, adapted.ravel())),
    }
    if channels == 1:
        tags[b"kTRC"] = _parametric(curve)
        return _assemble(b"GRAY", tags)
    for letter, color, share in zip(b"rgb", xyz[1:], shares, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz(adapted @ (color * share))
        tags[bytes([letter]) + b"TRC"] = _parametric(curve)
    return _assemble(b"RGB ", tags)


def _adaptation(white: Matrix) -> Matrix:
    """What takes colors under `white` to those under D50, by Bradford."""
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    result: Matrix = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD
    return result


def _assemble(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, data = b"", b""
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(">I4x", start + len(data)) + b"\x04\x30\0\0mntr" + space + b"XYZ "
    header += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_fixed, _D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _fixed(value: Any) -> bytes:
    return struct.pack(">i", round(float(value) * 65536))


def _xyz(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _parametric(curve: Curve) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + b"".join(map(_fixed, curve))


def _text(text: str) -> bytes:
    body = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(body), 28) + body
