"""How long redraws take on this machine: noted after each, told before the next."""

from __future__ import annotations

from typing import Any

from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.redrawing.result import RedrawResult
from lib_upscale.webui.host import base_model, environment

__all__ = ["note", "per_megapixel"]

_notes: list[MeasurementStore] = []


def per_megapixel(checkpoint: str, steps: int, strength: float) -> float | None:
    """Seconds for a million of the UNet's pixels with so many steps, or None before the first run."""
    each = _store().get(checkpoint, "seconds")
    return float(each) * _evaluated(steps, strength) if isinstance(each, (int, float)) else None


def note(p: Any, result: RedrawResult) -> None:
    """Remember what a run took."""
    rate = result.seconds_per_megapixel
    if rate is not None and result.count.painted:
        name = base_model.selected_name(p.override_settings.get("sd_model_checkpoint"))
        _store().put(name, seconds=round(rate / _evaluated(p.steps, p.denoising_strength), 4))


def _evaluated(steps: int, strength: float) -> int:
    """How often the UNet is run for a tile: the host's own rule for img2img."""
    return steps if environment.option("img2img_fix_steps", False) else int(min(strength, 0.999) * steps) + 1


def _store() -> MeasurementStore:
    if not _notes:
        _notes.append(MeasurementStore(environment.data_path() / "upscale-plus" / "times.json"))
    return _notes[0]
