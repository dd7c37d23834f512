"""Checks the parameters of hires fix plus, and lists differences from the WebUI's own second pass.

`p` are the host's parameters, or what its page shows under the same names.
"""

from __future__ import annotations

from typing import Any

from lib_upscale.errors import SettingsError
from lib_upscale.image.geometry import Size
from lib_upscale.settings.redraw import Page, PromptSource, RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host.page import latent_upscalers
from lib_upscale.webui.tiled_sampling.prompt_checks import check_prompts
from lib_upscale.webui.tiled_sampling.samplers import check_sampler

__all__ = ["SAME_SAMPLER", "check", "is_latent", "notes", "size_of"]

SAME_SAMPLER = (None, "", "Use same sampler")
"""Values of hires fix's list of samplers that mean the first pass's."""


def is_latent(p: Any) -> bool:
    """Whether the upscaler enlarges the latent and not the image."""
    return p.hr_upscaler is None or p.hr_upscaler in latent_upscalers()


def check(p: Any, settings: RedrawSettings) -> None:
    """Raise `SettingsError` for what can't be done. The upscaler is asked by `hires_check`, for every hires fix."""
    if settings.method is RedrawMethod.TILES:
        check_sampler(p.sampler_name if p.hr_sampler_name in SAME_SAMPLER else p.hr_sampler_name)
    elif settings.prompt_source in (PromptSource.CAPTION, PromptSource.TAGS):
        raise SettingsError("Captions of tiles need the method tiles", "choose it, or another prompt source")
    check_prompts(settings)


def notes(p: Any, settings: RedrawSettings) -> list[str]:
    """What is not as in the host's own pass, or has no effect, in sentences without their full stops."""
    lines = []
    if ignored := settings.without_effect(Page.HIRES, settings.method):
        labels = ", ".join(item.label for item in ignored)
        lines.append(f"No effect with the method {settings.method.value}: {labels}")
    if settings.method is RedrawMethod.TILES:
        lines.append("No refiner in the second pass, and Interrupt gives back the image of the first pass")
        if is_latent(p):
            lines.append("The enlarged latent is decoded before it is cut into tiles")
    return lines


def size_of(p: Any, multiple: int) -> HiresSize:
    """The sizes that the host works out from its controls when a run begins; `multiple` is the base model's."""
    width, height = int(p.width), int(p.height)
    across, down = int(p.hr_resize_x or 0), int(p.hr_resize_y or 0)
    cut = (0, 0)
    if not across and not down:
        enlarged = int(width * float(p.hr_scale)), int(height * float(p.hr_scale))
    elif not down or (across and width / height < across / down):
        enlarged = across, across * height // width
    else:
        enlarged = down * width // height, down
    if across and down:
        cut = (enlarged[0] - across) // 8, (enlarged[1] - down) // 8
    return HiresSize.from_numbers(Size(*enlarged), (across, down), cut, multiple)
