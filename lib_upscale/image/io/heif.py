"""Reads HEIF, and AVIF where pillow-heif can, with all their bits: Pillow has no mode for colors of 16."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from lib_upscale.image.pillow import Pixels

__all__ = ["read_deep_heif"]


def read_deep_heif(stream: BinaryIO) -> tuple[Pixels, Pixels | None] | None:
    """Read the primary image of a file, as it is to be looked at: turned and cropped as the file says.

    Returns:
        Pixels (height, width, 1 or 3) and alpha (height, width) or None, uint16 from 0 to 65535. None where the image
        has no more than 8 bits, or where pillow-heif is missing or can't read it.
    """
    if not find_spec("pillow_heif"):
        return None
    pillow_heif: Any = import_module("pillow_heif")
    stream.seek(0)
    try:
        image = pillow_heif.open_heif(stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        kind, _, bits = image.mode.partition(";")
        if kind not in ("L", "LA", "RGB", "RGBA") or not bits:
            return None
        values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError):  # whatever it says of what it can't read
        return None
    most = 2 ** int(bits) - 1
    levels = np.rint(np.arange(most + 1) * (65535 / most)).astype(np.uint16)
    stack = levels.take(values.reshape(*values.shape[:2], -1), mode="clip")
    if kind.endswith("A"):
        return np.ascontiguousarray(stack[..., :-1]), np.ascontiguousarray(stack[..., -1])
    return stack, None
