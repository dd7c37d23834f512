"""The host's own accordion "Upscale" of the Extras tab: its settings, when it runs, and the size of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lib_upscale.image.geometry import Size
from lib_upscale.webui.host.scripts import extras_scripts
from lib_upscale.webui.upscalers import registry

__all__ = ["CONTROL_NAMES", "NAME", "BuiltinUpscale", "of_running_job", "running_job", "runs_before"]

NAME = "Upscale"

CONTROL_NAMES = (
    "upscale_enabled",
    "upscaler_1_name",
    "upscale_mode",
    "upscale_by",
    "max_side_length",
    "upscale_to_width",
    "upscale_to_height",
    "upscale_crop",
)
"""The controls of the host's accordion that decide the size, as the host calls them."""


@dataclass(frozen=True)
class BuiltinUpscale:
    """The settings of the host's accordion. Sides are in pixels."""

    upscaler: str
    to_box: bool
    factor: float
    longest: int
    width: int
    height: int
    crop: bool

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> BuiltinUpscale | None:
        """Read the values of the host's controls by name; None where it is off or has no upscaler."""
        name = values.get("upscaler_1_name")
        if not values.get("upscale_enabled") or not name or name == "None":
            return None
        return cls(
            upscaler=str(name),
            to_box=values.get("upscale_mode") == 1,
            factor=_number(values, "upscale_by", 1),
            longest=int(_number(values, "max_side_length", 0)),
            width=int(_number(values, "upscale_to_width", 1)),
            height=int(_number(values, "upscale_to_height", 1)),
            crop=bool(values.get("upscale_crop")),
        )

    def output(self, size: Size) -> Size:
        """Return the size of its result, by the host's own arithmetic (scripts/postprocessing_upscale.py)."""
        factor, to_box, crop = self.factor, self.to_box, self.crop
        width, height = self.width, self.height
        if not to_box and self.longest and max(size) * factor > self.longest:
            to_box, crop = True, False
            width, height = _limit(size.width * factor, size.height * factor, self.longest)
        if to_box:
            factor = max(width / size.width, height / size.height)
            if crop:
                return Size(width, height)
        return self._scaled(size, factor)

    def _scaled(self, size: Size, factor: float) -> Size:
        width, height = size.width * factor, size.height * factor
        if registry.is_run_by_us(self.upscaler):
            return Size(max(1, round(width)), max(1, round(height)))
        # The host's own upscalers give multiples of 8.
        return Size(max(8, int(width // 8 * 8)), max(8, int(height // 8 * 8)))


def runs_before(postprocessor: str) -> bool:
    """Whether the host's accordion runs before another postprocessor, as ordered on the host's settings page."""
    order = [script.name for script in extras_scripts()]
    return postprocessor in order and NAME in order[: order.index(postprocessor)]


_running: ContextVar[BuiltinUpscale | None] = ContextVar("upscale_plus_builtin_upscale", default=None)


@contextmanager
def running_job(settings: BuiltinUpscale | None) -> Iterator[None]:
    """Remember, while it lasts, what the host's accordion does in the Extras job that runs."""
    token = _running.set(settings)
    try:
        yield
    finally:
        _running.reset(token)


def of_running_job() -> BuiltinUpscale | None:
    """Return what the host's accordion does in the Extras job that runs; None where it does nothing."""
    return _running.get()


def _number(values: Mapping[str, object], name: str, default: float) -> float:
    return float(str(values.get(name) or default))


def _limit(width: float, height: float, limit: int) -> tuple[int, int]:
    if height > width and height > limit:
        return int(limit * width // height), limit
    if width > limit:
        return limit, int(limit * height // width)
    return int(width), int(height)
