"""What the host's own "Upscale" of the Extras tab will do, so that its part can be said before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_upscale.image.geometry import Size
from lib_upscale.webui.host.upscalers import list_upscalers
from lib_upscale.webui.upscalers.registry import Scaler

__all__ = ["NAMES", "BuiltIn"]

NAMES = (
    "upscale_enabled", "upscaler_1_name", "upscale_mode", "upscale_by", "max_side_length", "upscale_to_width",
    "upscale_to_height", "upscale_crop",
)  # fmt: skip
"""The arguments of the host's accordion that decide the size, as the host calls them."""


@dataclass(frozen=True)
class BuiltIn:
    """The settings of the host's accordion."""

    upscaler: str
    to_box: bool
    factor: float
    longest: int
    width: int
    height: int
    crop: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BuiltIn | None:
        """From the values of the host's controls by name; None where it is off or has no upscaler."""
        name = values.get("upscaler_1_name")
        if not values.get("upscale_enabled") or not name or name == "None":
            return None
        return cls(
            upscaler=str(name),
            to_box=values.get("upscale_mode") == 1,
            factor=float(values.get("upscale_by") or 1),
            longest=int(values.get("max_side_length") or 0),
            width=int(values.get("upscale_to_width") or 1),
            height=int(values.get("upscale_to_height") or 1),
            crop=bool(values.get("upscale_crop")),
        )

    def output(self, size: Size) -> Size:
        """The size of its result, by the host's own arithmetic (scripts/postprocessing_upscale.py)."""
        factor, to_box, crop = self.factor, self.to_box, self.crop
        width, height = self.width, self.height
        if not to_box and self.longest and max(size) * factor > self.longest:
            to_box, crop = True, False
            width, height = _limited(size.width * factor, size.height * factor, self.longest)
        if to_box:
            factor = max(width / size.width, height / size.height)
            if crop:
                return Size(width, height)
        return self._scaled(size, factor)

    def _scaled(self, size: Size, factor: float) -> Size:
        entry = next((entry for entry in list_upscalers() if entry.name == self.upscaler), None)
        if entry is not None and isinstance(entry.scaler, Scaler):
            return Size(max(1, round(size.width * factor)), max(1, round(size.height * factor)))
        # The host's own upscalers give multiples of 8.
        return Size(max(8, int(size.width * factor // 8 * 8)), max(8, int(size.height * factor // 8 * 8)))


def _limited(width: float, height: float, limit: int) -> tuple[int, int]:
    if height > width and height > limit:
        return int(limit * width // height), limit
    if width > limit:
        return limit, int(limit * height // width)
    return int(width), int(height)
