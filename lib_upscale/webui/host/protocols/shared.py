"""What is relied on of the WebUI's `modules.shared`: the running job, the settings, the list of upscalers."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from PIL import Image

__all__ = ["HostOptions", "HostState", "HostUpscaler", "HostUpscalerEntry"]


class HostState(Protocol):
    """`shared.state`: the running job, its progress bar and its stop."""

    job: str
    """The running job's name; "" while there is none."""
    job_count: int
    """Jobs that the bar counts."""
    job_no: int
    """Jobs of these that are done."""
    sampling_step: int
    """Steps done of the current job."""
    sampling_steps: int
    """Steps of the current job."""
    textinfo: str | None
    """The text beside the bar."""
    time_start: float | None
    """When the job began: tells one job from the next."""
    interrupted: bool
    """Interrupt was pressed; reset when a job begins."""
    skipped: bool
    """Skip was pressed; reset when a generation begins."""
    stopping_generation: bool
    """"Interrupt after this image" was pressed; not in old WebUIs."""
    begin: Callable[..., None]
    """Begins a job."""
    end: Callable[[], None]
    """Ends it and frees memory."""
    nextjob: Callable[[], None]
    """Counts one job as done."""

    def assign_current_image(self, image: Image.Image) -> None:
        """Show a live preview; so do `set_current_image` and `do_set_current_image`, which decode the latent first."""


class HostOptions(Protocol):
    """`shared.opts`: the settings page. Values are read by `environment.option`."""

    data: MutableMapping[str, object]
    """Name -> value of what differs from its default."""
    data_labels: MutableMapping[str, object]
    """Name -> definition of all settings."""


class HostUpscaler(Protocol):
    """What stands behind an entry of the list of upscalers."""

    name: str
    model_path: str
    """The folder of its models."""

    def upscale(self, img: Image.Image, scale: float, selected_model: str | None = None) -> Image.Image | None:
        """The image, `scale` times as large."""


class HostUpscalerEntry(Protocol):
    """One entry of `shared.sd_upscalers`."""

    name: str
    data_path: str | None
    """A file, or the address it is to be downloaded from."""
    local_data_path: str | None
    """The file, once it has been downloaded."""
    scale: float
    scaler: Any
    """A `HostUpscaler`, ours or one of the WebUI's classes, which have more."""
