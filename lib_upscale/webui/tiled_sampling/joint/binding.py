"""The joint method bound to the host: while one sampling lasts, the model is called tile by tile.

A1111's sampler asks an inner model of its own, which dies with the sampler and is made anew where the refiner takes
over; Forge and its family ask a clone of the UNet's patcher, whose one wrapper may have an owner already. What is
bound is one sampler of one run: nothing of the host's is changed for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lib_upscale.errors import CancelledError
from lib_upscale.progress import SILENT, Progress, check
from lib_upscale.redrawing.latent.joint_denoiser import JointDenoiser, JointSettings, LatentTile
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.sampling import interrupted_error
from lib_upscale.webui.tiled_sampling.joint.conditioning import NONE, Side, TileConditioning
from lib_upscale.webui.tiled_sampling.joint.hints import cropped_hints

__all__ = ["JointWork", "bind"]


@dataclass
class JointWork:
    """One sampling by the joint method: how, and afterwards whether it came to that."""

    settings: JointSettings
    conditioning: TileConditioning = NONE
    progress: Progress = SILENT
    is_bound: bool = field(default=False, init=False)
    """Whether the sampler asked its model through us: if not, the whole picture went through at once."""


def bind(sampler: Any, p: Any, work: JointWork) -> None:
    """Have the next `sample_img2img` of `sampler` denoise by tiles. `p` are the host's parameters for it.

    It then raises `CancelledError` if the person asked to stop.
    """
    original = sampler.sample_img2img

    def sample_img2img(*arguments: Any, **named: Any) -> Any:
        # Only here: scripts have had their say, and what they put on the model is chained.
        del sampler.sample_img2img
        bound = _inner_model if environment.forge_objects(p.sd_model) is None else _unet_patcher
        with bound(sampler, p, work):
            result = original(*arguments, **named)
        # What the host gives after a stop is a latent that was not finished: decoding it would be for nothing.
        check(work.progress)
        return result

    sampler.sample_img2img = sample_img2img


@contextmanager
def _inner_model(sampler: Any, p: Any, work: JointWork) -> Iterator[None]:
    """A1111 and reForge's old sampling: `forward` of the sampler's inner model."""
    denoiser = sampler.model_wrap_cfg
    rows = _Rows()

    def hook() -> None:
        inner_model = denoiser.inner_model
        inner_model.forward = _as_inner_model(inner_model.forward, p, work, rows)

    forward, update = denoiser.forward, denoiser.update_inner_model

    def counted(x: Any, sigma: Any, uncond: Any, cond: Any, *arguments: Any, **named: Any) -> Any:
        rows.begin(cond, len(x), denoiser.step)
        return forward(x, sigma, uncond, cond, *arguments, **named)

    def updated(*arguments: Any, **named: Any) -> None:
        update(*arguments, **named)  # the refiner's model from now on
        hook()

    hook()
    denoiser.forward, denoiser.update_inner_model = counted, updated
    try:
        yield
    finally:
        del denoiser.forward, denoiser.update_inner_model
        vars(denoiser.inner_model).pop("forward", None)


class _Rows:
    """Which rows of a batch are for the prompt and which for the negative one: the host asks for them in this order."""

    def __init__(self) -> None:
        self.step = 0
        self._sides: list[Side] = []
        self._next = 0

    def begin(self, cond: Any, pictures: int, step: int) -> None:
        """One step of the sampler begins."""
        self.step, self._next = step, 0
        parts = [len(each) for each in getattr(cond, "batch", [])] or [1] * pictures
        # Several prompts joined by AND for one picture are weighed against each other: a tile can't have its own.
        positive = [Side.PROMPT if max(parts) == 1 else Side.OTHER] * sum(parts)
        self._sides = [*positive, *[Side.NEGATIVE] * pictures]

    def take(self, count: int) -> list[Side]:
        """What the next rows are."""
        taken = self._sides[self._next : self._next + count]
        self._next += count
        return taken


def _as_inner_model(forward: Callable[..., Tensor], p: Any, work: JointWork, rows: _Rows) -> Callable[..., Tensor]:
    """The inner model's `forward`, tile by tile."""
    given: dict[str, Any] = {}
    sides: list[Side] = []

    def inner(
        x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]
    ) -> Tensor:  # fmt: skip
        named = _mapped(given, crop)
        if not tiles[0].is_whole and "cond" in named:
            named["cond"] = work.conditioning.of_tiles(named["cond"], tiles, sides, rows.step)
        with cropped_hints(p, tiles, crop):
            return forward(x, sigma, **named)

    denoiser = JointDenoiser(inner, work.settings, group=work.conditioning.group, progress=work.progress)

    def by_tiles(x: Tensor, sigma: Tensor, **named: Any) -> Tensor:
        work.is_bound = True
        given.clear()
        given.update(named)
        sides[:] = rows.take(len(x))
        with _host_stops():
            return denoiser(x, sigma)

    return by_tiles


@contextmanager
def _unet_patcher(sampler: Any, p: Any, work: JointWork) -> Iterator[None]:
    """Forge and its family: the wrapper of the UNet's patcher, on a clone; the refiner's patcher after its switch."""
    denoiser = sampler.model_wrap_cfg

    def hook() -> None:
        objects = p.sd_model.forge_objects
        unet = objects.unet.clone()
        chained = unet.model_options.get("model_function_wrapper")
        unet.set_model_unet_function_wrapper(_as_wrapper(chained, p, work, lambda: int(denoiser.step)))
        objects.unet = unet

    with ExitStack() as stack:
        before = p.sd_model.forge_objects.unet
        model = p.sd_model
        hook()
        stack.callback(lambda: setattr(model.forge_objects, "unet", before))
        update = getattr(denoiser, "update_inner_model", None)
        if update is not None:

            def updated(*arguments: Any, **named: Any) -> None:
                update(*arguments, **named)
                hook()

            denoiser.update_inner_model = updated
            stack.callback(lambda: vars(denoiser).pop("update_inner_model", None))
        yield


def _as_wrapper(
    chained: Callable[..., Tensor] | None, p: Any, work: JointWork, step: Callable[[], int]
) -> Callable[..., Tensor]:  # fmt: skip
    """What the UNet's patcher calls instead of its model."""
    given: dict[str, Any] = {}

    def inner(
        x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]
    ) -> Tensor:  # fmt: skip
        kinds = list(given["cond_or_uncond"])
        c = {name: _mapped(value, crop) for name, value in given["c"].items() if name != "transformer_options"}
        if "transformer_options" in given["c"]:
            c["transformer_options"] = _options_of(given["c"]["transformer_options"], kinds * len(tiles), crop)
        if not tiles[0].is_whole:
            each = len(x) // (len(kinds) * len(tiles))
            sides = [Side.PROMPT if kind == 0 else Side.NEGATIVE for kind in kinds for _ in range(each)]
            if kinds.count(0) > 1:
                sides = [Side.OTHER if side is Side.PROMPT else side for side in sides]
            c = work.conditioning.of_tiles(c, tiles, sides, step())
        with cropped_hints(p, tiles, crop):
            if chained is None:
                result: Tensor = given["apply_model"](x, sigma, **c)
                return result
            asked = {"input": x, "timestep": sigma, "c": c, "cond_or_uncond": kinds * len(tiles)}
            return chained(given["apply_model"], asked)

    denoiser = JointDenoiser(inner, work.settings, group=work.conditioning.group, progress=work.progress)

    def wrapper(apply_model: Callable[..., Tensor], asked: Mapping[str, Any]) -> Tensor:
        work.is_bound = True
        given.update(apply_model=apply_model, c=asked["c"], cond_or_uncond=asked["cond_or_uncond"])
        with _host_stops():
            return denoiser(asked["input"], asked["timestep"])

    return wrapper


@contextmanager
def _host_stops() -> Iterator[None]:
    """A stop within a step is told to the host in its own way, so that its sampler ends in good order."""
    try:
        yield
    except CancelledError:
        raise interrupted_error() from None


def _options_of(options: Mapping[str, Any], kinds: list[int], crop: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """A host's options for the UNet's insides: those that count rows fit the tiles' rows, patches stay."""
    told = {name: crop(value) if isinstance(value, Tensor) else value for name, value in options.items()}
    if "cond_or_uncond" in told:
        told["cond_or_uncond"] = kinds
    return told


def _mapped(value: Any, crop: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with all tensors cut."""
    if isinstance(value, Tensor):
        return crop(value)
    if isinstance(value, dict):
        return {key: _mapped(part, crop) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(part, crop) for part in value)
    return value
