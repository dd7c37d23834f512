"""The color lock: a redrawn tile keeps its detail, and the coarse colors of the picture that it was made from.

Source: StableSR (Wang et al. 2023), "wavelet color fix". Here low frequencies are exchanged for each tile, with the
tile's own surroundings, so that no tile drifts against its neighbors.
"""

from __future__ import annotations

import numpy as np

from lib_upscale.redrawing.tiles.filters import Pixels, a_trous, gaussian
from lib_upscale.settings.redraw import ColorLock

__all__ = ["match_low_frequencies"]

_LEVELS = 5
"""Wavelet levels: everything coarser than about 18 pixels follows the source."""
_SIGMA = 32.0
"""Pixels: only what is coarser follows the source where the gaussian is chosen."""


def match_low_frequencies(redrawn: Pixels, source: Pixels, lock: ColorLock) -> Pixels:
    """Give a redrawn tile the low frequencies that it had before.

    Borders are reflected in both alike, so a tile that was not changed stays as it is.

    Args:
        redrawn: (height, width, 3), 0..1.
        source: The same tile before.
        lock: Which frequencies count as low.

    Returns:
        (height, width, 3), not clipped to 0..1.
    """
    if lock is ColorLock.OFF:
        return redrawn
    change = redrawn - source
    coarse = a_trous(change, _LEVELS) if lock is ColorLock.WAVELET else gaussian(change, _SIGMA)
    return np.asarray(redrawn - coarse, dtype=np.float32)
