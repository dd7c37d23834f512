"""ControlNet's hints for tiles: the host makes those of the whole image once, and each tile gets its part of them.

So a tile is led by exactly what would lead the whole image, whatever the preprocessor and the way in which its image is
fitted. No ControlNet is imported. sd-webui-controlnet makes the hint of a unit in a function of its script's file, the
Forge family in a method of the script; units of any other ControlNet have their images cut (`controlnet_units`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.protocols import HostProcessing, HostScript
from lib_upscale.webui.host.scripts import module_of
from lib_upscale.webui.tiled_sampling import controlnet_units

__all__ = ["WholeHints", "is_forge", "makes_hints", "pad_hint"]

_FUNCTION = "get_control"
_METHOD = "process_unit_after_click_generate"
_CPU = torch.device("cpu")
_RESULTS = ("control_cond", "control_cond_for_hr_fix", "control_mask", "control_mask_for_hr_fix")


def makes_hints(script: HostScript) -> bool:
    """Whether a script is a ControlNet that can be asked for the hints of the whole image."""
    return is_forge(script) or callable(getattr(module_of(script), _FUNCTION, None))


def is_forge(script: HostScript) -> bool:
    """Whether a script is the ControlNet of the Forge family."""
    return hasattr(type(script), _METHOD)


def pad_hint(hint: Tensor, canvas: Size) -> Tensor:
    """Fill a hint up to the canvas.

    The host makes hints of whole latent pixels by leaving out the rest of the image, where our canvas is filled up.

    Args:
        hint: NCHW.
        canvas: In pixels.

    Returns:
        The same with its last row and column repeated; `hint` itself if it is not that much too small.
    """
    down, across = canvas.height - hint.shape[2], canvas.width - hint.shape[3]
    if (down, across) == (0, 0) or not (0 <= down <= LATENT and 0 <= across <= LATENT):
        return hint
    return F.pad(hint, (0, across, 0, down), mode="replicate")


class WholeHints:
    """The hints of one pass over an image."""

    def __init__(self, size: Size, canvas: Size) -> None:
        """Nothing is made before the first tile.

        Args:
            size: Of the image that is redrawn, in pixels.
            canvas: The same filled up to whole latent pixels, on which tiles lie.
        """
        self._size, self._canvas = size, canvas
        self._known: dict[Hashable, Any] = {}

    @contextmanager
    def cut(self, scripts: Sequence[HostScript], region: Region) -> Iterator[None]:
        """Scripts that make hints get those of one tile while this lasts.

        Args:
            scripts: The scripts that run for the tile.
            region: The tile on the canvas, in pixels.
        """
        with ExitStack() as stack:
            for script in scripts:
                module, number = module_of(script), itertools.count()
                if is_forge(script):
                    method = self._method(getattr(script, _METHOD), module, region, number)
                    stack.enter_context(replaced(script, _METHOD, method))
                elif callable(function := getattr(module, _FUNCTION, None)):
                    stack.enter_context(replaced(module, _FUNCTION, self._function(function, region, number)))
            yield

    def _function(self, function: Callable[..., Any], region: Region, number: Iterator[int]) -> Callable[..., Any]:
        """sd-webui-controlnet's: gives the hints, those for hires fix, and images to be shown."""

        def get_control(
            p: HostProcessing, unit: object, idx: int, kind: object, preprocessor: object, **named: object
        ) -> Any:
            if not controlnet_units.has_own_image(unit):
                return function(p, unit, idx, kind, preprocessor, **named)
            is_whole = controlnet_units.shows_whole(unit, preprocessor)
            key = (next(number), getattr(unit, "module", None))
            shown: list[object] = []
            if key not in self._known:
                controls, *_, shown = function(self._parameters(p, is_whole), unit, idx, kind, preprocessor, **named)
                device = next((control.device for control in controls if isinstance(control, Tensor)), _CPU)
                self._known[key] = [_to(control, _CPU) for control in controls], device
            controls, device = self._known[key]
            parts = [control if is_whole else self._part(control, region) for control in controls]
            return tuple(_to(part, device) for part in parts), (None,) * len(parts), shown

        return get_control

    def _method(
        self, method: Callable[..., None], module: Any, region: Region, number: Iterator[int]
    ) -> Callable[..., None]:
        """The Forge family's: fills the parameters that it is given."""

        def process_unit(p: HostProcessing, unit: object, params: object, *arguments: object, **named: object) -> None:
            if not controlnet_units.has_own_image(unit):
                method(p, unit, params, *arguments, **named)
                return
            is_whole = controlnet_units.shows_whole(unit, _preprocessor(module, unit))
            key = next(number)
            if key not in self._known:
                method(self._parameters(p, is_whole), unit, params, *arguments, **named)
                self._known[key] = dict(vars(params))
            known: Mapping[str, object] = self._known[key]
            for name, value in known.items():
                setattr(params, name, self._part(value, region) if name in _RESULTS and not is_whole else value)

        return process_unit

    def _parameters(self, p: HostProcessing, is_whole: bool) -> HostProcessing:
        """A tile's parameters, as those of the whole image are: for its size, and with one seed instead of a list."""
        changed = copy.copy(p)
        changed.seed, changed.subseed = int(p.all_seeds[0]), int(p.all_subseeds[0])
        if not is_whole:
            changed.width, changed.height = self._size
        return changed

    def _part(self, value: object, region: Region) -> object:
        if not isinstance(value, Tensor) or value.dim() != 4:
            return value
        padded = pad_hint(value, self._canvas)
        if Size(padded.shape[3], padded.shape[2]) != self._canvas:
            return value
        return padded[:, :, region.rows, region.columns].contiguous()


def _preprocessor(module: Any, unit: object) -> object:
    """The Forge family's description of a unit's preprocessor; None where there is none."""
    find = getattr(getattr(module, "global_state", None), "get_preprocessor", None)
    return find(getattr(unit, "module", None)) if callable(find) else None


def _to(value: object, device: torch.device) -> object:
    return value.to(device) if isinstance(value, Tensor) else value
