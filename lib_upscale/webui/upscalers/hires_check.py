"""What is done before a generation computes anything: what hires fix is given is checked, so that no time is wasted."""

from __future__ import annotations

from lib_upscale.webui.host.protocols import HostProcessing, HostTxt2Img
from lib_upscale.webui.host.refuse import clear_failure, fail_at_start
from lib_upscale.webui.upscalers import registry
from lib_upscale.webui.upscalers.engine import engine

__all__ = ["begin_generation", "check_upscaler", "complete_modules"]

_CHECK = "hires upscaler"
_SAME_MODULES = ("Use same choices",)
"""What the host's own page sends."""


def begin_generation(p: HostProcessing) -> None:
    """Have models stay loaded from one image of a batch to the next.

    Args:
        p: The host's parameters. img2img resizes all of its images before the first batch, hires fix each batch's own.
    """
    sources = getattr(p, "init_images", None)
    engine.begin_generation(resize=len(sources) if sources else p.batch_size, postprocess=p.batch_size)


def complete_modules(p: HostTxt2Img) -> None:
    """Name the second pass's modules where the API has left them out: Forge and Forge Neo look into a list of them.

    They have `hr_additional_modules`, None by default, and fail with a TypeError after the first pass.
    """
    if getattr(p, "enable_hr", False) and getattr(p, "hr_additional_modules", ()) is None:
        p.hr_additional_modules = list(_SAME_MODULES)


def check_upscaler(p: HostTxt2Img) -> None:
    """Have a generation fail at its start if the upscaler of its hires fix can't be used.

    Args:
        p: The host's parameters, before their `init`. They may be a copy of others that were checked: the check is
            made anew for them.
    """
    clear_failure(p, _CHECK)
    if not getattr(p, "enable_hr", False):
        return
    try:
        registry.check(p.hr_upscaler)
    except Exception as error:  # whatever it is, the host shows it
        fail_at_start(p, error, _CHECK)
