"""The joint method bound to the host: while one sampling lasts, the model is called tile by tile.

A1111's sampler asks an inner model of its own, which dies with the sampler and is made anew where the refiner takes
over; Forge and its family ask a clone of the UNet's patcher, whose one wrapper may have an owner already. What is
bound is one sampler of one run: nothing of the host's is changed for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from lib_upscale.errors import CancelledError
from lib_upscale.image.geometry import Size
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.redrawing.latent import JointDenoiser, JointSettings, LatentTile
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.model import unet_reserves
from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.host.protocols import HostForgeObjects, HostProcessing, HostSampler
from lib_upscale.webui.host.sampling import count_evaluations, interrupted_error
from lib_upscale.webui.tiled_sampling.joint.conditioning import NONE, Side, TileConditioning
from lib_upscale.webui.tiled_sampling.joint.hints import cropped_hints
from lib_upscale.webui.tiled_sampling.joint.hypertile import fit_hypertile

__all__ = ["JointWork", "bind"]

_T = TypeVar("_T")
_Crop = Callable[[Tensor], Tensor]
"""Cuts what belongs to a whole latent to the tiles of a batch."""


@dataclass
class JointWork:
    """One sampling by the joint method: how, and afterwards whether it came to that."""

    settings: JointSettings
    conditioning: TileConditioning = NONE
    progress: Progress = SILENT
    on_step: Callable[[int, int], None] = lambda _step, _steps: None
    """Called with each step, counted from 1, and their number."""
    is_bound: bool = field(default=False, init=False)
    """Whether the sampler asked its model through us: if not, the whole image went through at once."""
    seconds: float = field(default=0.0, init=False)
    """What sampling took."""
    sampler: str | None = field(default=None, init=False)
    """Its name."""

    def show_step(self, evaluation: int) -> None:
        """The host runs the model for that number, from 0: more often than there are steps where it is second order."""
        steps = max(1, environment.state().sampling_steps)
        per_step = max(1, count_evaluations(self.sampler, steps) // steps)
        self.on_step(min(steps, evaluation // per_step + 1), steps)


def bind(sampler: HostSampler, p: HostProcessing, work: JointWork) -> None:
    """Have the next `sample_img2img` of a sampler denoise by tiles.

    It then raises `CancelledError` if the person asked to stop.

    Args:
        sampler: The host's sampler, not begun yet.
        p: The host's parameters that it samples for.
        work: How.
    """
    original = sampler.sample_img2img
    work.sampler = getattr(getattr(sampler, "config", None), "name", None)

    def sample_img2img(*arguments: object, **named: object) -> Tensor:
        # Only here: scripts have had their say, and what they put on the model is chained.
        del sampler.sample_img2img
        _fit_scripts(p, work.settings, arguments)
        began = time.perf_counter()
        objects = environment.forge_objects(p.sd_model)
        bound = _inner_model(sampler, p, work) if objects is None else _unet_patcher(sampler, objects, p, work)
        with bound:
            result = original(*arguments, **named)
        work.seconds += time.perf_counter() - began
        # What the host gives after a stop is a latent that was not finished: decoding it would be for nothing.
        check(work.progress)
        return result

    sampler.sample_img2img = sample_img2img


def _fit_scripts(p: HostProcessing, settings: JointSettings, arguments: Sequence[object]) -> None:
    """Tell scripts that know the size of what is drawn of the tiles', unless there is one tile only."""
    latent = next((value for value in arguments if isinstance(value, Tensor)), None)
    if latent is not None:
        canvas = Size(latent.shape[-1], latent.shape[-2])
        tile = Size(min(settings.tile.width, canvas.width), min(settings.tile.height, canvas.height))
        if tile != canvas:
            fit_hypertile(p, tile.scaled(LATENT))


@contextmanager
def _inner_model(sampler: HostSampler, p: HostProcessing, work: JointWork) -> Iterator[None]:
    """A1111 and reForge's old sampling: `forward` of the sampler's inner model."""
    denoiser = sampler.model_wrap_cfg
    rows = _Rows()

    def hook() -> None:
        model = denoiser.inner_model
        stack.enter_context(replaced(model, "forward", _as_inner_model(model.forward, p, work, rows)))

    forward, update = denoiser.forward, denoiser.update_inner_model

    def counted(x: Tensor, sigma: Tensor, uncond: object, cond: object, *arguments: object, **named: object) -> Tensor:
        rows.begin(cond, len(x), denoiser.step)
        work.show_step(int(denoiser.step))
        return forward(x, sigma, uncond, cond, *arguments, **named)

    def updated(*arguments: object, **named: object) -> None:
        update(*arguments, **named)  # the refiner's model from now on
        hook()

    with ExitStack() as stack:
        hook()
        stack.enter_context(replaced(denoiser, "forward", counted))
        stack.enter_context(replaced(denoiser, "update_inner_model", updated))
        yield


class _Rows:
    """Which rows of a batch are for the prompt and which for the negative one: the host asks for them in this order."""

    def __init__(self) -> None:
        self.step = 0
        self._sides: list[Side] = []
        self._next = 0

    def begin(self, cond: object, images: int, step: int) -> None:
        """One step of the sampler begins."""
        self.step, self._next = step, 0
        parts = [len(prompts) for prompts in getattr(cond, "batch", [])] or [1] * images
        # Several prompts joined by AND for one image are weighed against each other: a tile can't have its own.
        positive = [Side.PROMPT if max(parts) == 1 else Side.OTHER] * sum(parts)
        self._sides = [*positive, *[Side.NEGATIVE] * images]

    def take(self, count: int) -> list[Side]:
        """What the next rows are."""
        sides = self._sides[self._next : self._next + count]
        self._next += count
        return sides


def _as_inner_model(
    forward: Callable[..., Tensor], p: HostProcessing, work: JointWork, rows: _Rows
) -> Callable[..., Tensor]:
    """The inner model's `forward`, tile by tile."""
    conditions: dict[str, Any] = {}
    sides: list[Side] = []

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: _Crop) -> Tensor:
        named = _crop_tensors(conditions, crop)
        if not tiles[0].is_whole and "cond" in named:
            named["cond"] = work.conditioning.of_tiles(named["cond"], tiles, sides, rows.step)
        work.conditioning.use_networks(tiles)
        with cropped_hints(p, tiles, crop):
            return forward(x, sigma, **named)

    denoiser = JointDenoiser(inner, work.settings, group=work.conditioning.group, progress=work.progress)

    def by_tiles(x: Tensor, sigma: Tensor, **named: object) -> Tensor:
        work.is_bound = True
        conditions.clear()
        conditions.update(named)
        sides[:] = rows.take(len(x))
        with _host_stops(), work.conditioning.own_networks_after():
            return denoiser(x, sigma)

    return by_tiles


@contextmanager
def _unet_patcher(
    sampler: HostSampler, objects: HostForgeObjects, p: HostProcessing, work: JointWork
) -> Iterator[None]:
    """Forge and its family: the wrapper of the UNet's patcher, on a clone; the refiner's patcher after its switch."""
    denoiser = sampler.model_wrap_cfg

    def hook(objects: HostForgeObjects) -> None:
        unet = objects.unet.clone()
        chained = unet.model_options.get("model_function_wrapper")
        unet.set_model_unet_function_wrapper(_as_wrapper(chained, p, work, lambda: int(denoiser.step)))
        stack.enter_context(replaced(objects, "unet", unet))
        stack.enter_context(unet_reserves(unet, work.settings.tile, work.settings.batch))

    with ExitStack() as stack:
        hook(objects)
        update = getattr(denoiser, "update_inner_model", None)
        if update is not None:

            def updated(*arguments: object, **named: object) -> None:
                update(*arguments, **named)
                refiner = environment.forge_objects(p.sd_model)
                assert refiner is not None
                hook(refiner)

            stack.enter_context(replaced(denoiser, "update_inner_model", updated))
        yield


def _as_wrapper(
    chained: Callable[..., Tensor] | None, p: HostProcessing, work: JointWork, step: Callable[[], int]
) -> Callable[..., Tensor]:
    """What the UNet's patcher calls instead of its model."""
    call: dict[str, Any] = {}

    def inner(x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: _Crop) -> Tensor:
        kinds = list(call["cond_or_uncond"])
        rows = len(x) // (len(kinds) * len(tiles))
        c = {name: _crop_tensors(value, crop) for name, value in call["c"].items() if name != "transformer_options"}
        if "transformer_options" in call["c"]:
            c["transformer_options"] = _tile_options(call["c"]["transformer_options"], kinds * len(tiles), rows, crop)
        if not tiles[0].is_whole:
            sides = [Side.PROMPT if kind == 0 else Side.NEGATIVE for kind in kinds for _ in range(rows)]
            if kinds.count(0) > 1:
                sides = [Side.OTHER if side is Side.PROMPT else side for side in sides]
            c = work.conditioning.of_tiles(c, tiles, sides, step())
        work.conditioning.use_networks(tiles)
        with cropped_hints(p, tiles, crop):
            if chained is None:
                result: Tensor = call["apply_model"](x, sigma, **c)
                return result
            arguments = {"input": x, "timestep": sigma, "c": c, "cond_or_uncond": kinds * len(tiles)}
            return chained(call["apply_model"], arguments)

    denoiser = JointDenoiser(inner, work.settings, group=work.conditioning.group, progress=work.progress)

    def wrapper(apply_model: Callable[..., Tensor], arguments: Mapping[str, Any]) -> Tensor:
        work.is_bound = True
        work.show_step(step())
        call.update(apply_model=apply_model, c=arguments["c"], cond_or_uncond=arguments["cond_or_uncond"])
        with _host_stops(), work.conditioning.own_networks_after():
            return denoiser(arguments["input"], arguments["timestep"])

    return wrapper


@contextmanager
def _host_stops() -> Iterator[None]:
    """A stop within a step is raised as the host raises it, so that its sampler ends in good order."""
    try:
        yield
    except CancelledError:
        raise interrupted_error() from None


def _tile_options(options: Mapping[str, object], kinds: list[int], rows: int, crop: _Crop) -> dict[str, object]:
    """A host's options for the UNet's insides: those that count rows fit the tiles' rows, patches stay.

    Args:
        options: Forge's `cond_mark` is cut like any tensor.
        kinds: 0 for a prompt, 1 for a negative one: of each part of the batch of tiles.
        rows: Of a part.
        crop: Cuts what belongs to a whole latent to the tiles.
    """
    fitted = {name: crop(value) if isinstance(value, Tensor) else value for name, value in options.items()}
    if "cond_or_uncond" in fitted:
        fitted["cond_or_uncond"] = kinds
    for name, kind in (("cond_indices", 0), ("uncond_indices", 1)):
        if name in fitted:
            parts = [part for part, other in enumerate(kinds) if other == kind]
            fitted[name] = [row for part in parts for row in range(part * rows, (part + 1) * rows)]
    return fitted


def _crop_tensors(value: _T, crop: _Crop) -> _T:
    """The same structure with all tensors cut."""
    cropped: Any = value
    if isinstance(value, Tensor):
        cropped = crop(value)
    elif isinstance(value, dict):
        cropped = {key: _crop_tensors(part, crop) for key, part in value.items()}
    elif isinstance(value, (list, tuple)):
        cropped = type(value)(_crop_tensors(part, crop) for part in value)
    return cropped  # type: ignore[no-any-return]
