"""The extension's part of the WebUI's settings page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib_upscale.settings.fields import AUTOMATIC, Option, options
from lib_upscale.settings.upscale import UpscaleSettings
from lib_upscale.webui.host import environment
from lib_upscale.webui.ui.values import first_value, read_controls

__all__ = [
    "add_to_page",
    "decompression_limit",
    "folders",
    "keeps_models",
    "most_models",
    "remove_from_page",
    "takes_over",
    "usual",
]

_SECTION = ("upscale_plus", "Upscale Plus")
_AT_ONCE = " Applies at once."

_FOLDERS = "upscale_plus_folders"
_TAKE_OVER = "upscale_plus_take_over"
_KEEP = "upscale_plus_keep_models"
_MOST = "upscale_plus_most_models"
_LIMIT = "upscale_plus_limit_megapixels"

_USUAL: dict[str, Option] = {
    f"upscale_plus_{name}": item for name, item in options(UpscaleSettings).items() if item.on_settings_page
}
"""The settings of upscaling that stand on the page, by their keys there."""

_DEFAULTS: dict[str, Any] = {
    _FOLDERS: "",
    _TAKE_OVER: True,
    _KEEP: False,
    _MOST: 2,
    **{key: first_value(item) for key, item in _USUAL.items()},
    _LIMIT: 268,
}


def folders() -> list[Path]:
    """The folders that the person added, one a line."""
    lines = str(_value(_FOLDERS)).replace(";", "\n").splitlines()
    return [_expand_user(Path(line.strip().strip('"'))) for line in lines if line.strip()]


def _expand_user(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # "~name" of somebody who is not known: a folder that does not exist
        return path


def takes_over() -> bool:
    """Whether the host's own entries are run by this extension."""
    return bool(_value(_TAKE_OVER))


def keeps_models() -> bool:
    """Whether models stay on the device after a job."""
    return bool(_value(_KEEP))


def most_models() -> int:
    """How many models are loaded at a time at most."""
    return max(1, int(_value(_MOST)))


def decompression_limit() -> int | None:
    """The most pixels of an image that is read; None: no limit."""
    megapixels = float(_value(_LIMIT))
    return int(megapixels * 1e6) if megapixels > 0 else None


def usual() -> UpscaleSettings:
    """The settings of upscaling as set on the page: for every place that has no controls of its own."""
    values = {item.name: _value(key) for key, item in _USUAL.items()}
    return UpscaleSettings.from_dict(read_controls(UpscaleSettings, values))


def add_to_page(models_changed: Callable[[], None], memory_changed: Callable[[], None]) -> None:
    """Add the settings to the host's page.

    Args:
        models_changed: Called when the list of upscalers must be made anew.
        memory_changed: Called when loaded models may have to be released.
    """
    import gradio as gr

    _add(
        _FOLDERS,
        "More folders with upscaler models",
        gr.Textbox,
        {"lines": 3, "placeholder": "one folder a line", **environment.hidden_folders()},
        models_changed,
        "In addition to those of the WebUI. Subfolders are searched too.",
        restrict_api=True,
    )
    _add(
        _TAKE_OVER,
        "Run the WebUI's own upscalers with Upscale Plus",
        gr.Checkbox,
        None,
        models_changed,
        "They keep their names and places in the lists. They become faster, true in color and free of seams, and "
        "say why when they fail. LDSR stays the WebUI's.",
    )
    _add(
        _KEEP,
        "Keep upscaler models loaded after a job",
        gr.Checkbox,
        None,
        memory_changed,
        "Saves loading them for each image and costs the memory they take.",
    )
    _add(
        _MOST,
        "Upscaler models loaded at a time",
        gr.Slider,
        {"minimum": 1, "maximum": 8, "step": 1},
        memory_changed,
        "The one used longest ago goes first.",
    )
    for key, item in _USUAL.items():
        _forget_former_number(key, item)
        component, arguments = (
            (gr.Textbox, {"placeholder": AUTOMATIC}) if item.automatic else (gr.Radio, {"choices": item.values})
        )
        _add(key, item.label, component, arguments, None, item.explanation)
    _add(
        _LIMIT,
        "Largest image that is read, in megapixels",
        gr.Number,
        {"precision": 0},
        None,
        "A small file can unpack to an image that fills the memory. 0 is no limit. For batches and the API.",
    )


def _forget_former_number(key: str, item: Option) -> None:
    """Version 0.1.0 kept automatic as a number, which the page would show: it becomes an empty field."""
    data = environment.opts().data
    if key in data and data[key] != "" and item.is_automatic(data[key]):
        data[key] = ""


def remove_from_page() -> None:
    """Take the settings off the host's page. Their values stay in its file, for when the extension comes back."""
    for key in _DEFAULTS:
        environment.opts().data_labels.pop(key, None)


def _add(
    key: str,
    label: str,
    component: Callable[..., object],
    arguments: Mapping[str, object] | None,
    changed: Callable[[], None] | None,
    info: str,
    restrict_api: bool = False,
) -> None:
    environment.add_option(
        key,
        info + _AT_ONCE,
        _DEFAULTS[key],
        label,
        component,
        arguments,
        onchange=changed,
        section=_SECTION,
        restrict_api=restrict_api,
    )


def _value(key: str) -> Any:
    return environment.option(key, _DEFAULTS[key])
