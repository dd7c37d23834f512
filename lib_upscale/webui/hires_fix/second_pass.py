"""Hires fix by tiles: for one run the host's second pass is ours.

`install` puts it on the parameters of that run and nowhere else. Whatever ends it early, a stop or an error, the first
pass is what comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib_upscale.errors import CancelledError, SettingsError, UpscalePlusError
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import rules as hires_rules
from lib_upscale.webui.hires_fix.joint import second_pass_joint
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.hires_fix.tiles import second_pass_by_tiles
from lib_upscale.webui.host import console, jobs
from lib_upscale.webui.host.model import apply_token_merging, give_memory_back
from lib_upscale.webui.host.processing import as_decoded_samples, decode_latents

__all__ = ["DEFAULTS", "PREFIX", "SETTINGS", "TITLE", "HiresRequest", "install", "uninstall"]

TITLE = "Hires fix plus"
"""What the section is called, and in the API in small letters."""
PREFIX = TITLE
"""With which its infotext keys begin."""

SETTINGS = tuple(name for name, item in options(RedrawSettings).items() if Page.HIRES in item.offered)
"""The settings of a redraw that hires fix does not have itself."""
DEFAULTS: Mapping[str, Any] = {"method": RedrawMethod.JOINT.value}
"""Where hires fix begins with another value than the script: joint is nearest to what the host does."""


@dataclass(frozen=True)
class HiresRequest:
    """What is asked of the section."""

    enabled: bool
    settings: RedrawSettings

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> HiresRequest:
        """From values by name, as the API and the page give them. Raises `SettingsError`."""
        plain = {name: value for name, value in values.items() if name != "enabled" and value is not None}
        for name in plain:
            if name in options(RedrawSettings) and name not in SETTINGS:
                raise SettingsError(
                    f"{options(RedrawSettings)[name].label} is not available in hires fix plus",
                    "the size, the upscaler and the strength are hires fix's own",
                )
        settings = RedrawSettings.from_dict({**DEFAULTS, **plain})
        return cls(bool(values.get("enabled", True)), settings)


def install(p: Any, request: HiresRequest) -> None:
    """Have the second pass of the host's parameters `p` done by tiles, in this run. Raises `UpscalePlusError`."""
    uninstall(p)
    if not request.enabled or not getattr(p, "enable_hr", False):
        return
    hires_rules.check(p, request.settings)
    told = request.settings.changed(method=RedrawMethod.TILES).to_infotext(PREFIX)
    p.extra_generation_params = {
        **p.extra_generation_params, PREFIX: request.settings.method.value, **told,
    }  # fmt: skip
    p.sample_hr_pass = SecondPass(p, request.settings, p.sample_hr_pass)


def uninstall(p: Any) -> None:
    """Take it off again: parameters are copied, by an X/Y/Z plot for instance, with what was put on them."""
    put_on = vars(p).get("sample_hr_pass")
    if isinstance(put_on, SecondPass):
        put_on.take_off(p)


class SecondPass:
    """In place of the host's `sample_hr_pass`, on the parameters of one run."""

    def __init__(self, p: Any, settings: RedrawSettings, original: Any) -> None:
        self._p, self._settings, self._original = p, settings, original

    def take_off(self, p: Any) -> None:
        """Leave `p` with the pass it had before."""
        del p.sample_hr_pass
        if getattr(self._original, "__self__", None) is not self._p:
            p.sample_hr_pass = self._original  # another extension's

    def __call__(
        self, samples: Any, decoded_samples: Any, seeds: Any, subseeds: Any, subseed_strength: Any, prompts: Any
    ) -> Any:
        """The finished pictures, or those of the first pass."""
        p = self._p
        if jobs.stop_requested():
            return _first_pass(p, samples, decoded_samples)
        size = HiresSize.of(p)
        kept = copy.copy(p.extra_generation_params)
        try:
            run = second_pass_joint if self._settings.method is RedrawMethod.JOINT else second_pass_by_tiles
            given = (samples, decoded_samples, seeds, subseeds, subseed_strength, prompts)
            made = run(p, self._settings, size, self._original, given)
            if jobs.stop_requested():
                raise CancelledError()
            return as_decoded_samples([_exact(picture, size) for picture in made])
        except CancelledError:
            p.extra_generation_params = {**kept, f"{PREFIX} partial": "first pass"}
            p.comment("Hires fix was stopped: this is the picture of the first pass.")
        except Exception as error:
            _tell(p, error)
            p.extra_generation_params = {**kept, f"{PREFIX} partial": "first pass"}
        finally:
            _put_back(p)
        return _first_pass(p, samples, decoded_samples)


def _tell(p: Any, error: Exception) -> None:
    """What went wrong, where the person looks."""
    if isinstance(error, UpscalePlusError):
        text = str(error)
        console.say(text)
    else:
        text = f"{type(error).__name__}: {error}"
        console.report("hires fix failed")
    p.comment(f"Hires fix failed, this is the picture of the first pass. {text}")
    console.warn(f"Hires fix failed: {text}")


def _put_back(p: Any) -> None:
    """What the host's own pass leaves behind, whatever has happened."""
    p.is_hr_pass = False
    p.sampler = None
    apply_token_merging(p)
    give_memory_back()


def _exact(picture: Tensor, size: HiresSize) -> Tensor:
    """(3, height, width) of the canvas, cut to the target."""
    if (picture.shape[2], picture.shape[1]) != tuple(size.canvas):
        return picture
    return picture[:, size.crop.rows, size.crop.columns].contiguous()


def _first_pass(p: Any, samples: Any, decoded_samples: Any) -> Any:
    """The pictures of the first pass as the host takes them: (3, height, width), -1 to 1, on the CPU."""
    if decoded_samples is not None:
        return as_decoded_samples([picture.float().cpu() for picture in decoded_samples])
    image = getattr(p, "firstpass_image", None)
    if image is not None:
        values = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32).copy())
        return as_decoded_samples([values.permute(2, 0, 1) / 127.5 - 1])
    return decode_latents(p.sd_model, samples)
