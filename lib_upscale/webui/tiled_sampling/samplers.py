"""Which of the host's samplers can't be used tile by tile."""

from __future__ import annotations

from lib_upscale.errors import SettingsError

__all__ = ["check_sampler"]

_ADAPTIVE = ("DPM adaptive",)
"""Samplers that choose other steps in every tile."""


def check_sampler(name: str | None) -> None:
    """Raise `SettingsError` for a sampler that can't be used with the method tiles."""
    if name in _ADAPTIVE:
        raise SettingsError(
            f"The sampler {name} takes other steps in every tile, which would be seen", "choose another sampler"
        )
