"""How long the WebUI's redraws take on this machine: kept after each, and estimated before the next.

Kept are the last runs of a kind, not one number: of each checkpoint, method and number of ControlNet units what a step
of the UNet and what the rest of a call took, of each upscaler what enlarging took, and what an image costs besides.
What comes first in a session (kernels, caches, loading) is kept apart from what comes after it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from lib_upscale.estimate import NOTHING, Estimate, estimate, kept, read_runs
from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.redrawing import PassPlan
from lib_upscale.settings.redraw import RedrawMethod
from lib_upscale.webui.host import environment
from lib_upscale.webui.tiled_sampling.stopwatch import Call, TimedCall

__all__ = [
    "calls_of_pass",
    "enlarging_seconds",
    "estimate_calls",
    "estimate_enlarging",
    "estimate_image",
    "record_calls",
    "record_enlarging",
    "record_image",
]

_FIRST = "first_"
"""Before the names of what was measured first in a session, and may hold what comes once."""
_IMAGE = "image"

_seen: set[str] = set()
"""What has run in this session, by key."""
_enlarging = 0.0


def record_calls(checkpoint: str, calls: Sequence[TimedCall]) -> None:
    """Remember the calls of one image, in their order.

    Args:
        checkpoint: The name of the Stable Diffusion model.
        calls: Those of a kind that came most often count.
    """
    if not calls:
        return
    kind = Counter((timed.call.method, timed.call.unet_pixels, timed.call.pixels) for timed in calls).most_common(1)
    _, unet_pixels, pixels = kind[0][0]
    alike = [timed for timed in calls if (timed.call.method, timed.call.unet_pixels, timed.call.pixels) == kind[0][0]]
    key = _key(checkpoint, alike[0].call)
    is_first = key not in _seen and alike[0] is calls[0]
    _seen.add(key)
    usual = alike[1:] if is_first and len(alike) > 1 else alike
    step = statistics.median(timed.sampling / max(1, timed.call.steps) for timed in usual)
    rest = statistics.median(timed.rest for timed in usual)
    prefix = _FIRST if is_first and len(alike) == 1 else ""
    _put(key, f"{prefix}step", unet_pixels, step)
    _put(key, f"{prefix}rest", pixels, rest)
    if is_first and len(alike) > 1:
        first = alike[0]
        _put(key, "warm_up", 1.0, max(0.01, first.sampling + first.rest - step * first.call.steps - rest))


def estimate_calls(checkpoint: str, calls: Iterable[tuple[Call, float]]) -> Estimate | None:
    """Estimate what calls will take, each with how often it is made; None where none like it was ever made."""
    total, key, is_warm = NOTHING, "", False
    for call, count in calls:
        key = _key(checkpoint, call)
        step, rest = _estimate(key, "step", call.unet_pixels), _estimate(key, "rest", call.pixels)
        if step is None or rest is None:
            return None
        total += (step * call.steps + rest) * count
        is_warm = bool(_store().get(key, "step"))
    warm_up = estimate(read_runs(_store().get(key, "warm_up")), 1.0) if is_warm and key not in _seen else None
    return total + (warm_up or NOTHING)


def calls_of_pass(
    step: PassPlan, evaluations: int, batch_size: int, tiles: float | None = None, units: int = 0
) -> tuple[Call, float]:
    """Return what the host is called with for a pass of a redraw, and how often.

    Args:
        step: The pass.
        evaluations: How often the UNet is run for a tile.
        batch_size: Tiles at a time. With ControlNet each is painted alone.
        tiles: How many tiles are painted; None: all.
        units: ControlNet units that are on.
    """
    if step.joint is not None:
        return Call(RedrawMethod.JOINT.value, step.unet_pixels, step.grid.tile.pixels, evaluations, units), 1.0
    tiles = float(len(step.grid.tiles)) if tiles is None else tiles
    together = 1 if units else max(1, min(batch_size, int(tiles)))
    pixels = step.grid.tile.pixels * together
    return Call(RedrawMethod.TILES.value, pixels, pixels, evaluations, units), tiles / together


def record_enlarging(upscaler: str, work: float, seconds: float) -> None:
    """Remember what an upscaler took for some work, in pixels."""
    global _enlarging
    _enlarging += seconds
    _record(f"enlarging/{upscaler}", work, seconds)


def enlarging_seconds() -> float:
    """Return what all enlarging of this session took: of what lies between two calls it is the difference."""
    return _enlarging


def estimate_enlarging(upscaler: str, work: float) -> Estimate | None:
    """Estimate what an upscaler takes; None where it never ran."""
    return _estimate_session(f"enlarging/{upscaler}", work)


def record_image(pixels: int, seconds: float) -> None:
    """Remember what an image of so many pixels took besides enlarging and calls: merging, saving, the host's own."""
    _record(_IMAGE, pixels, seconds)


def estimate_image(pixels: int) -> Estimate | None:
    """Estimate what an image of so many pixels takes besides enlarging and calls."""
    return _estimate_session(_IMAGE, pixels)


def _key(checkpoint: str, call: Call) -> str:
    """Of what runs can be compared: each unit of ControlNet is a network more that runs at every step."""
    units = f"/{call.units} ControlNet" if call.units else ""
    return f"{checkpoint}/{call.method}{units}"


def _record(key: str, work: float, seconds: float) -> None:
    _put(key, "runs" if key in _seen else f"{_FIRST}runs", work, seconds)
    _seen.add(key)


def _estimate_session(key: str, work: float) -> Estimate | None:
    """With what comes first, where it is the first in this session."""
    return _estimate(key, "runs", work, prefers_first=key not in _seen)


def _estimate(key: str, name: str, work: float, *, prefers_first: bool = False) -> Estimate | None:
    names = [name, f"{_FIRST}{name}"]
    for stored in reversed(names) if prefers_first else names:
        known = estimate(read_runs(_store().get(key, stored)), work)
        if known is not None:
            return known
    return None


def _put(key: str, name: str, work: float, seconds: float) -> None:
    _store().put(key, **{name: kept(_store().get(key, name), work, seconds)})


@lru_cache(maxsize=1)
def _store() -> MeasurementStore:
    return MeasurementStore(environment.cache_path() / "times.json")
