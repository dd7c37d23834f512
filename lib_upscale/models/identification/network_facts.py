"""Finds out a network's scale, channels, purpose and the rest without loading its weights.

spandrel says all that, but only after a full load. Here the same constructors run with the weights left out: on torch's
"meta" device a tensor has a shape and no memory. A few constructors read values (a window size, a drop rate), so small
tensors are real. Whatever still needs more is loaded in full.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from lib_upscale.errors import ModelFileError
from lib_upscale.models.formats.checkpoint import Checkpoint, TensorInfo
from lib_upscale.models.identification.architectures import registry
from lib_upscale.models.identification.resselt import FOURIER, GATED, is_installed
from lib_upscale.models.identification.unavailable import Unavailable, needing_resselt, recognize_unavailable
from lib_upscale.models.identity import NetworkFacts, SizeRequirements, TilingSupport

if TYPE_CHECKING:
    from spandrel import ArchSupport, ModelDescriptor

__all__ = [
    "ArchitectureMatch",
    "ImpossibleNetworkError",
    "check_block_numbers",
    "collect_facts",
    "inspect_network",
    "match_architecture",
    "match_unavailable",
]

_T = TypeVar("_T")

SMALL = 4096
"""Tensors of up to this many elements are read; larger ones have no values."""
MAX_SECONDS = 20.0
"""Of CPU time: no real network takes this long to build, but a hostile file could describe one that does."""

CHECK_EVERY = 64
"""Calls of torch between two looks at the clock."""

_PREFIXES = ("model.", "net.", "network.", "generator.", "model.net.", "model.network.")
_GROUPS = ("generator_ema.", "net_g_ema.", "netG_ema.", "g_ema.", "ema.", "generator.", "net_g.", "netG.", "module.")
"""Groups of names in files that hold several networks (mmagic) or more than one (torch's `AveragedModel`).

The averaged generator comes first: it is what its trainers publish.
"""
_NUMBER = re.compile(r"(?:^|\.)(\d+)(?=\.|$)")


class ImpossibleNetworkError(Exception):
    """Raised when names are of an architecture whose network cannot be built from these shapes."""


class ArchitectureMatch:
    """An architecture, and the prefix that its tensors' names have in the file. Names without it are of others."""

    def __init__(self, support: ArchSupport, prefix: str) -> None:
        self.architecture = support.architecture
        self.prefix = prefix
        self.package = str(getattr(support.architecture, "package", "spandrel"))
        """The Python package that the network comes from."""

    def rename(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Rename tensors to the architecture's own names."""
        return _without_prefix(tensors, self.prefix)

    def load(self, tensors: Mapping[str, Any], numbers: Mapping[str, float]) -> ModelDescriptor:
        """Build the network.

        Args:
            tensors: By their names in the file.
            numbers: What lies beside them (`Checkpoint.numbers`).

        Raises:
            Exception: Whatever the architecture's constructor raises for tensors that are not a whole network.
        """
        state = self.rename(tensors)
        beside = {name: number for name, number in numbers.items() if name not in state}
        if beside:
            try:
                return self.architecture.load({**state, **beside})
            except RuntimeError as error:
                # Most architectures know none of these names, which then say nothing about the network.
                if "Unexpected key" not in str(error):
                    raise
        return self.architecture.load(state)


def match_architecture(tensors: Mapping[str, TensorInfo]) -> ArchitectureMatch | None:
    """Find the architecture that these names and shapes belong to, or None. Needs no values."""
    architectures = registry().architectures("detection")
    for prefix in _prefixes(tensors):
        shapes = _without_prefix(tensors, prefix)
        for support in architectures:
            if _detects(support, shapes):
                return ArchitectureMatch(support, prefix)
    return None


def match_unavailable(tensors: Mapping[str, TensorInfo]) -> Unavailable | None:
    """Find the network that these names belong to, of those that nothing installed can build; None if none is known.

    To be asked where no architecture matches, or the one that does can't build a network of them.
    """
    absent = [] if is_installed() else [*GATED, *FOURIER]
    for prefix in _prefixes(tensors):
        shapes = _without_prefix(tensors, prefix)
        known = recognize_unavailable(shapes)
        if known is not None:
            return known
        for architecture in absent:
            if architecture.detect(shapes):
                return needing_resselt(str(architecture.id), architecture.name)
    return None


def _prefixes(tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    common = [prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in tensors)]
    groups = [prefix for prefix in _GROUPS if any(name.startswith(prefix) for name in tensors)]
    return ("", *common, *groups)


def _without_prefix(tensors: Mapping[str, _T], prefix: str) -> dict[str, _T]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _detects(support: ArchSupport, shapes: dict[str, Any]) -> bool:
    try:
        return bool(support.detect(shapes))
    except (AttributeError, LookupError, TypeError, ValueError, AssertionError):
        return False


def inspect_network(checkpoint: Checkpoint, match: ArchitectureMatch) -> NetworkFacts:
    """Find the facts of the network in a checkpoint.

    Args:
        checkpoint: Of its tensors only those of up to `SMALL` elements are read.
        match: What `match_architecture` found for it.

    Raises:
        ImpossibleNetworkError: Its tensors do not make up a network.
        ModelFileError: The file cannot be read.
    """
    check_block_numbers(checkpoint.tensors)
    small = checkpoint.load_small(SMALL)
    tensors = {name: small[name] if name in small else _meta(info) for name, info in checkpoint.tensors.items()}
    try:
        with torch.device("meta"), _MetaBuild(), torch.no_grad():
            return collect_facts(match.load(tensors, checkpoint.numbers))
    except (LookupError, AssertionError, ArithmeticError, AttributeError, RecursionError, MemoryError) as error:
        raise ImpossibleNetworkError(_first_line(error)) from error
    except (RuntimeError, TypeError, ValueError) as error:
        if "loading state_dict" in str(error):
            raise ImpossibleNetworkError(_first_line(error)) from error
    return _inspect_loaded(checkpoint, match)


def _inspect_loaded(checkpoint: Checkpoint, match: ArchitectureMatch) -> NetworkFacts:
    """Do the same by a full load, for constructors that look at the values of large tensors."""
    try:
        with _Deadline(), torch.random.fork_rng(devices=[]):
            return collect_facts(match.load(checkpoint.load(), checkpoint.numbers))
    except ModelFileError:
        raise
    except Exception as error:  # any constructor, on any shapes: the file is what is wrong
        raise ImpossibleNetworkError(_first_line(error)) from error


def collect_facts(model: ModelDescriptor) -> NetworkFacts:
    """Collect what a loaded model says of itself. Fields that an old spandrel lacks have their defaults."""
    sizes = getattr(model, "size_requirements", None)
    tiling = getattr(model, "tiling", None)
    return NetworkFacts(
        architecture=str(model.architecture.id),
        architecture_name=str(model.architecture.name),
        purpose=str(model.purpose),
        scale=int(model.scale),
        input_channels=int(model.input_channels),
        output_channels=int(model.output_channels),
        tags=tuple(str(tag) for tag in model.tags),
        tiling=TilingSupport[tiling.name] if tiling is not None else TilingSupport.SUPPORTED,
        size_requirements=SizeRequirements(
            minimum=int(getattr(sizes, "minimum", 0) or 0),
            multiple_of=int(getattr(sizes, "multiple_of", 1) or 1),
            square=bool(getattr(sizes, "square", False)),
        ),
        supports_half=bool(model.supports_half),
        supports_bfloat16=bool(getattr(model, "supports_bfloat16", False)),
    )


def _meta(info: TensorInfo) -> torch.Tensor:
    dtype = getattr(torch, info.dtype, torch.float32)
    return torch.empty(info.shape, dtype=dtype, device="meta")


def check_block_numbers(tensors: Mapping[str, Any]) -> None:
    """Raise `ImpossibleNetworkError` for block numbers that no file of this many tensors can have.

    A constructor would count up to them.
    """
    limit = 1000 + len(tensors)
    for name in tensors:
        for digits in _NUMBER.findall(name):
            if len(digits) > 9 or int(digits) > limit:
                raise ImpossibleNetworkError(f"it names a block number {digits[:12]}")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing" if error.args else "a tensor is missing"
    if lines and "loading state_dict" in lines[0] and len(lines) > 1:
        return lines[1].rstrip(".")
    return lines[0].rstrip(".") if lines else type(error).__name__


class _Deadline(TorchFunctionMode):
    """Ends the building of a network that takes far longer than any real one's. Holds for one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.end = time.thread_time() + MAX_SECONDS
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        # Asking for the time costs as much as many a call; real networks make thousands of them.
        if self.calls % CHECK_EVERY == 0 and time.thread_time() > self.end:
            raise MemoryError("it describes a network of impossible size")
        return func(*args, **(kwargs or {}))


_COUNTING = (torch.arange, torch.linspace, torch.tensor, torch.as_tensor)
_IS_META = torch.Tensor.is_meta
_FILLING = frozenset(
    getattr(torch.Tensor, name)
    for name in ("uniform_", "normal_", "erfinv_", "clamp_", "mul_", "add_", "div_", "fill_", "zero_")
)


class _MetaBuild(_Deadline):
    """Lets CPU and meta tensors mix while a network is built. Holds for one thread, as every torch mode does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__self__", None) is _IS_META:
            # Module.load_state_dict asks in order to warn of what is done here on purpose.
            return False
        if func is torch.Tensor.copy_:
            return args[0]
        if func in _FILLING and args[0].device.type == "meta":
            return args[0]
        if func is torch.Tensor.any and args[0].device.type == "meta":
            # torch.nn.init.trunc_normal_ draws again for as long as any value is out of bounds.
            return torch.tensor(False, device="cpu")
        if func is torch._weight_norm and args[0].device.type == "meta":
            return args[0].detach()  # of the same shape; torch 2.1 cannot compute it without memory
        if func in _COUNTING and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "cpu"}
        try:
            return super().__torch_function__(func, types, args, kwargs)
        except RuntimeError:
            moved = [False]
            args, kwargs = tree_map(lambda item: _without_memory(item, moved), (args, kwargs))
            if not moved[0]:
                raise
            return func(*args, **kwargs)


def _without_memory(item: Any, moved: list[bool]) -> Any:
    if isinstance(item, torch.Tensor) and item.device.type != "meta":
        moved[0] = True
        return item.to("meta")
    return item
