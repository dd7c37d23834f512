"""Hires fix by tiles: for one run the host's second pass is replaced.

`install` puts ours on the parameters of that run and nowhere else. Whatever ends it early, a stop or an error, the
first pass is what comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lib_upscale.errors import CancelledError, SettingsError, UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.settings.fields import options
from lib_upscale.settings.redraw import Page, RedrawMethod, RedrawSettings
from lib_upscale.webui.hires_fix import rules
from lib_upscale.webui.hires_fix.costs import share_of_first_pass
from lib_upscale.webui.hires_fix.first_pass import FirstPass
from lib_upscale.webui.hires_fix.joint import second_pass_joint
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.hires_fix.tiles import second_pass_by_tiles
from lib_upscale.webui.host import base_model, console, jobs
from lib_upscale.webui.host.jobs import TwoPasses
from lib_upscale.webui.host.model import apply_token_merging, give_memory_back
from lib_upscale.webui.host.processing import as_decoded_samples
from lib_upscale.webui.host.protocols import HostTxt2Img
from lib_upscale.webui.tiled_sampling.tile_scripts import check_scripts

__all__ = ["DEFAULTS", "PREFIX", "SETTINGS", "TITLE", "HiresRequest", "begin_batch", "install", "uninstall"]

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
                    f"{options(RedrawSettings)[name].label} is not available in {TITLE}",
                    "the size, the upscaler and the strength are hires fix's own",
                )
        settings = RedrawSettings.from_dict({**DEFAULTS, **plain})
        return cls(bool(values.get("enabled", True)), settings)


def install(p: HostTxt2Img, request: HiresRequest) -> None:
    """Have the second pass of a generation done by tiles.

    Args:
        p: The host's parameters of that run.
        request: What the section asks for.

    Raises:
        UpscalePlusError: For what can't be done.
    """
    uninstall(p)
    if not request.enabled or not getattr(p, "enable_hr", False):
        return
    rules.check(p, request.settings)
    is_joint = request.settings.method is RedrawMethod.JOINT
    check_scripts(p.scripts_value, p.script_args_value, is_joint=is_joint, is_hosts_pass=is_joint)
    p.extra_generation_params = {
        **p.extra_generation_params,
        PREFIX: request.settings.method.value,
        **request.settings.changed(method=RedrawMethod.TILES).to_infotext(PREFIX),
    }
    p.sample_hr_pass = SecondPass(p, request.settings, p.sample_hr_pass)


def begin_batch(p: HostTxt2Img) -> None:
    """The host samples the first pass of the next batch from here on."""
    installed = vars(p).get("sample_hr_pass")
    if isinstance(installed, SecondPass):
        installed.begin_first_pass()


def uninstall(p: HostTxt2Img) -> None:
    """Take it off again: parameters are copied, by an X/Y/Z plot for instance, with what was put on them."""
    installed = vars(p).get("sample_hr_pass")
    if isinstance(installed, SecondPass):
        installed.uninstall(p)


class SecondPass:
    """In place of the host's `sample_hr_pass`, on the parameters of one run."""

    def __init__(self, p: HostTxt2Img, settings: RedrawSettings, original: Callable[..., Sequence[Tensor]]) -> None:
        self._p, self._settings, self._original = p, settings, original
        self._passes: TwoPasses | None = None

    def begin_first_pass(self) -> None:
        """Give the first pass of the next batch its part of the bar."""
        self._passes = TwoPasses(share_of_first_pass(self._p, self._settings))
        self._passes.begin()

    def uninstall(self, p: HostTxt2Img) -> None:
        """Leave `p`, the parameters or a copy of them, with the pass that they had before."""
        del p.sample_hr_pass
        if getattr(self._original, "__self__", None) is not self._p:
            p.sample_hr_pass = self._original  # another extension's

    def __call__(
        self,
        samples: Tensor,
        decoded_samples: Sequence[Tensor] | None,
        seeds: object,
        subseeds: object,
        subseed_strength: object,
        prompts: object,
    ) -> Sequence[Tensor]:
        """The finished images, or those of the first pass; the arguments are those of the host's method."""
        first = FirstPass(samples, decoded_samples, (seeds, subseeds, subseed_strength, prompts))
        passes, self._passes = self._passes or TwoPasses(0.5), None
        try:
            return first.images(self._p) if jobs.stop_requested() else self._second_pass(first, passes)
        finally:
            passes.end()

    def _second_pass(self, first: FirstPass, passes: TwoPasses) -> Sequence[Tensor]:
        p = self._p
        sides = base_model.sides_of(getattr(p.hr_checkpoint_info, "name", None))
        size = HiresSize.of(p, sides.multiple)
        kept = copy.copy(p.extra_generation_params)
        try:
            run = second_pass_joint if self._settings.method is RedrawMethod.JOINT else second_pass_by_tiles
            images = run(p, self._settings, size, first, passes, self._original)
            if jobs.stop_requested():
                raise CancelledError()
            return as_decoded_samples([_crop(p, image, size) for image in images])
        except CancelledError:
            p.extra_generation_params = {**kept, f"{PREFIX} partial": "first pass"}
            p.comment("Hires fix was stopped: this is the image of the first pass.")
        except Exception as error:
            _report(p, error)
            p.extra_generation_params = {**kept, f"{PREFIX} partial": "first pass"}
        finally:
            _clean_up(p)
        return first.images(p)


def _report(p: HostTxt2Img, error: Exception) -> None:
    """Say what went wrong where the person looks."""
    if isinstance(error, UpscalePlusError):
        text = str(error)
        console.say(text)
    else:
        text = f"{type(error).__name__}: {error}"
        console.report("hires fix failed")
    p.comment(f"Hires fix failed, this is the image of the first pass. {text}")
    console.warn(f"Hires fix failed: {text}")


def _clean_up(p: HostTxt2Img) -> None:
    """Leave behind what the host's own pass does, whatever has happened."""
    p.is_hr_pass = False
    p.sampler = None
    apply_token_merging(p)
    give_memory_back()


def _crop(p: HostTxt2Img, image: Tensor, size: HiresSize) -> Tensor:
    """(3, height, width) of the canvas, cut to the target. Another size than either is said, not passed silently."""
    actual = Size(image.shape[2], image.shape[1])
    if actual == size.canvas:
        return image[:, size.crop.rows, size.crop.columns].contiguous()
    if actual != size.final:
        text = f"The WebUI has made an image of {actual} instead of {size.final}."
        p.comment(text)
        console.warn(text)
    return image
