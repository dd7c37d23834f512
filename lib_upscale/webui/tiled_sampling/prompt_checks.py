"""Which prompts of tiles this host can't give, known before anything is computed."""

from __future__ import annotations

from lib_upscale.errors import SettingsError
from lib_upscale.settings.redraw import PromptSource, RedrawMethod, RedrawSettings
from lib_upscale.webui.host.extra_networks import can_switch, without_networks
from lib_upscale.webui.host.model import has_interrogator

__all__ = ["check_prompts", "host_choices", "without_lacking"]


def host_choices() -> dict[str, list[str]]:
    """What the pages offer of settings that this host can't do all values of: not every one can describe an image."""
    return {"prompt_source": [source.value for source in PromptSource if _can_have(source)]}


def without_lacking(settings: RedrawSettings) -> RedrawSettings:
    """The settings of an image that was made elsewhere, with what this host lacks at its default."""
    return settings if _can_have(settings.prompt_source) else settings.changed(prompt_source=PromptSource.PICTURE)


def _can_have(source: PromptSource) -> bool:
    if source not in (PromptSource.CAPTION, PromptSource.TAGS):
        return True
    return has_interrogator(tags=source is PromptSource.TAGS)


def check_prompts(settings: RedrawSettings) -> None:
    """Raise `SettingsError` for prompts of tiles that can't be had in this host."""
    source = settings.prompt_source
    if not _can_have(source):
        raise SettingsError(
            f"This WebUI has no interrogator for the prompt source {source.value}", "choose another prompt source"
        )
    if settings.method is not RedrawMethod.JOINT or can_switch():
        return
    own = [region.prompt for region in settings.prompt_regions]
    if source is PromptSource.TILE:
        own.append(settings.tile_prompt)
    if any(without_networks(prompt) != prompt for prompt in own):
        raise SettingsError(
            "In this WebUI a tile can't have a LoRA of its own with the method joint",
            "choose the method tiles, or name the LoRA in the image's prompt",
        )
