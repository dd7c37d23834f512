"""The host's Hypertile under the joint method: it unfolds what the UNet sees by the shape of the image."""

from __future__ import annotations

from types import SimpleNamespace

from lib_upscale.image.geometry import Size
from lib_upscale.webui.host.protocols import HostProcessing

__all__ = ["fit_hypertile"]

_SCRIPT = "ScriptHypertile"


def fit_hypertile(p: HostProcessing, tile: Size) -> None:
    """Tell Hypertile that what is drawn is a tile; it is told anew of every generation.

    Args:
        p: The host's parameters, about to be sampled.
        tile: In pixels.
    """
    sizes = {"width": tile.width, "height": tile.height, "hr_upscale_to_x": tile.width, "hr_upscale_to_y": tile.height}
    told = SimpleNamespace(**sizes, all_seeds=p.all_seeds, extra_generation_params={})
    for script in p.scripts_value.alwayson_scripts if p.scripts_value is not None else ():
        if type(script).__name__ == _SCRIPT:
            hook = "before_hr" if getattr(p, "is_hr_pass", False) else "process"
            getattr(script, hook)(told)
