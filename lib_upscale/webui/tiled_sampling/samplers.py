"""Which of the host's samplers can't be used tile by tile, and how often they run the UNet."""

from __future__ import annotations

from lib_upscale.errors import SettingsError
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.sampling import count_evaluations

__all__ = ["check_sampler", "img2img_evaluations"]

_ADAPTIVE = ("DPM adaptive",)
"""Samplers that choose other steps in every tile."""


def check_sampler(name: str | None) -> None:
    """Raise `SettingsError` for a sampler that can't be used with the method tiles."""
    if name in _ADAPTIVE:
        raise SettingsError(
            f"The sampler {name} takes other steps in every tile, which would be seen", "choose another sampler"
        )


def img2img_evaluations(sampler: str | None, steps: int, strength: float) -> int:
    """How often img2img runs the UNet: the host takes the strength's share of all steps, unless set otherwise."""
    taken = steps if environment.option("img2img_fix_steps", False) else int(min(strength, 0.999) * steps) + 1
    return count_evaluations(sampler, taken)
