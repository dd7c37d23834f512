"""How long redraws take on this machine: recorded after each, and estimated before the next."""

from __future__ import annotations

from functools import lru_cache

from lib_upscale.models.runtime.measurements import MeasurementStore
from lib_upscale.redrawing import RedrawResult
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.host.protocols import HostImg2Img

__all__ = ["record", "seconds_per_megapixel"]


def seconds_per_megapixel(checkpoint: str, steps: int, strength: float) -> float | None:
    """Estimate the seconds for a million pixels that the UNet sees.

    Args:
        checkpoint: The name of the Stable Diffusion model.
        steps: Sampling steps as set on the page.
        strength: Denoising strength, 0 to 1.

    Returns:
        None before the first run with that model.
    """
    seconds_of_step = _store().get(checkpoint, "seconds")
    if not isinstance(seconds_of_step, (int, float)):
        return None
    return float(seconds_of_step) * _count_steps(steps, strength)


def record(p: HostImg2Img, result: RedrawResult) -> None:
    """Remember what a run with the host's parameters `p` took."""
    rate = result.seconds_per_megapixel
    if rate is not None and result.count.painted:
        name = base_model.selected_name(p.override_settings.get("sd_model_checkpoint"))
        _store().put(name, seconds=round(rate / _count_steps(p.steps, p.denoising_strength), 4))


def _count_steps(steps: int, strength: float) -> int:
    """How often the UNet is run for a tile: the host's own rule for img2img."""
    return steps if environment.option("img2img_fix_steps", False) else int(min(strength, 0.999) * steps) + 1


@lru_cache(maxsize=1)
def _store() -> MeasurementStore:
    return MeasurementStore(environment.data_path() / "upscale-plus" / "times.json")
