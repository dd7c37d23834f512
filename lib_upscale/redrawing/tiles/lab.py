"""sRGB to CIE L*a*b* (D65) and back, in floats that are clipped nowhere: colors out of gamut come back as they were.

Source: IEC 61966-2-1 (sRGB), CIE 15 (L*a*b*). Below zero sRGB's curve goes on mirrored, as in scRGB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["lab_to_rgb", "rgb_to_lab"]

_Floats = NDArray[np.float32]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_WHITE_XYZ = _TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)
"""Linear sRGB to XYZ as shares of white's, so that gray has no color."""
_FORTH = _TO_WHITE_XYZ.T.astype(np.float32)
_BACK = np.linalg.inv(_TO_WHITE_XYZ).T.astype(np.float32)
_BEND, _SLOPE = np.float32(216 / 24389), np.float32(24389 / 27)
"""Where the cube root becomes a line, and how steep the line is, in L."""


def rgb_to_lab(rgb: _Floats) -> _Floats:
    """Convert (..., 3) of sRGB, 0..1, to L (0..100), a and b."""
    size = np.abs(rgb)
    linear = np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), rgb)
    white = linear.astype(np.float32) @ _FORTH
    curve = np.where(white > _BEND, np.cbrt(white), (_SLOPE * white + 16) / 116)
    x, y, z = curve[..., 0], curve[..., 1], curve[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(lab: _Floats) -> _Floats:
    """The inverse of `rgb_to_lab`; below 0 and above 1 where the color is out of gamut."""
    y = (lab[..., 0] + 16) / 116
    curve = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    white = np.where(curve > np.cbrt(_BEND), curve**3, (116 * curve - 16) / _SLOPE)
    linear = white.astype(np.float32) @ _BACK
    size = np.abs(linear)
    curved = np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)
    return np.asarray(np.copysign(curved, linear), dtype=np.float32)
