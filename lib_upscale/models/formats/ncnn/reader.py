"""ncnn pairs, `.param` and `.bin`, read as checkpoints of the networks that spandrel has.

Upscayl, Real-ESRGAN and waifu2x tools ship their models as such pairs. Where the graph is an ESRGAN, a
Compact or a SPAN its weights are given under the names of spandrel's state dict, and the pair is a
checkpoint like any other. Every other graph is refused with what keeps it from being one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats.ncnn.graph import UnlikeError, build_graph
from lib_upscale.models.formats.ncnn.matcher import (
    Constant,
    ConstantTensor,
    IdentityTensor,
    Network,
    Shape,
    Source,
    StoredTensor,
)
from lib_upscale.models.formats.ncnn.networks import recognize
from lib_upscale.models.formats.ncnn.param_file import MAX_TEXT, TEXT_MAGIC, BadGraphError, parse_param
from lib_upscale.models.formats.ncnn.weights import Array, Key, Layout, Part, read_layout, read_numbers
from lib_upscale.models.formats.reader import Checkpoint, Container, TensorInfo, UnsupportedContainerError
from lib_upscale.models.identity import Kind

if TYPE_CHECKING:
    import torch

__all__ = ["is_ncnn", "read_ncnn"]

_BINARY_MAGIC = int(TEXT_MAGIC).to_bytes(4, "little")
_USE_ANOTHER = "use the model's .pth or .safetensors file; of ncnn networks only ESRGAN, Compact and SPAN can be read"
_MAY_READ = "allow this program to read both files, or check the disk that they lie on"
_AGAIN = "download the .param and the .bin file again, both from the same place"


def is_ncnn(path: Path) -> bool:
    """Whether a file is half of an ncnn pair. Reads at most a few bytes; False where nothing can be read.

    True for a `.param` in text or in ncnn's binary form, whatever its name, and for a `.bin` beside its
    `.param`.
    """
    return _is_param(path) or _param_of(path) is not None


def read_ncnn(path: Path) -> Checkpoint:
    """The checkpoint that an ncnn pair is; `path` is either of its files.

    Its path is the `.param`, its tensors are those of spandrel's ESRGAN, Compact or SPAN, and its
    metadata names the architecture. Of the `.bin` only the tags before the weights are read yet.

    Raises ForeignContainerError for every other ncnn graph and for weights that are no floats,
    DamagedFileError where the pair is incomplete or contradicts itself, and ModelFileError where one
    of its files cannot be read.
    """
    param = path if _is_param(path) else _param_of(path)
    if param is None:
        raise DamagedFileError(path, "is no ncnn graph, and none lies beside it", _AGAIN)
    try:
        network, layout, weights = _read_pair(param)
    except BadGraphError as error:
        raise _damaged(param, error) from error
    except UnlikeError as error:
        problem = f"is an ncnn network that cannot be run here: {error}"
        raise UnsupportedContainerError(param, problem, _USE_ANOTHER, Kind.NCNN) from error
    except OSError as error:
        raise ModelFileError(param, f"cannot be read ({error.strerror or error})", _MAY_READ) from error

    def load(names: Iterable[str]) -> dict[str, torch.Tensor]:
        try:
            return _load(weights, network, layout, names)
        except (BadGraphError, FileNotFoundError) as error:
            raise _damaged(param, error) from error

    return Checkpoint(
        path=param,
        container=Container.NCNN,
        tensors={
            name: TensorInfo(shape, _dtype(shape, source, layout)) for name, (shape, source) in network.tensors.items()
        },
        metadata={"architecture": network.architecture},
        loader=lambda: load(network.tensors),
        part_loader=load,
    )


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
    """The `.param` beside a `.bin`, or None."""
    if path.suffix.lower() != ".bin":
        return None
    beside = (path.with_suffix(suffix) for suffix in (".param", ".PARAM", ".param.bin"))
    return next((param for param in beside if param != path and _is_param(param)), None)


def _bin_of(param: Path) -> Path:
    """The `.bin` that belongs to a `.param`. Raises DamagedFileError if it does not lie beside it."""
    for suffix in (".bin", ".BIN"):
        weights = param.with_suffix(suffix)
        if weights != param and weights.is_file():
            return weights
    name = param.with_suffix(".bin").name
    raise DamagedFileError(param, f"lacks its weights, {name}", f"put {name} into the same folder")


def _read_pair(param: Path) -> tuple[Network, Layout, Path]:
    with param.open("rb") as stream:
        text = stream.read(MAX_TEXT + 1)
    if text.startswith(_BINARY_MAGIC):
        raise UnlikeError("its graph is in ncnn's binary form; the .param in text form is needed")
    if len(text) > MAX_TEXT:
        raise BadGraphError(f"its text has more than {MAX_TEXT >> 20} MB")
    graph = build_graph(parse_param(text))
    network = recognize(graph)
    weights = _bin_of(param)
    layout = read_layout(graph, weights)
    keys = [(constant.layer, Part.DATA) for constant in network.constants]
    for constant, numbers in zip(network.constants, read_numbers(weights, layout, keys).values(), strict=True):
        _check_constant(constant, numbers)
    return network, layout, weights


def _check_constant(constant: Constant, numbers: Array) -> None:
    if not np.allclose(numbers, constant.values, rtol=0, atol=1e-6):
        shown = ", ".join(f"{value:g}" for value in numbers)
        raise UnlikeError(f"{constant.meaning} is {shown}")


def _dtype(shape: Shape, source: Source, layout: Layout) -> str:
    if isinstance(source, StoredTensor) and source.inner == shape and source.factor == 1.0:
        return layout.stretches[source.layer, source.part].dtype
    return "float32"


def _load(weights: Path, network: Network, layout: Layout, names: Iterable[str]) -> dict[str, torch.Tensor]:
    import torch

    chosen = {name: network.tensors[name] for name in names}
    corners = [source for _, source in chosen.values() if isinstance(source, StoredTensor)]
    numbers = read_numbers(weights, layout, {(corner.layer, corner.part) for corner in corners})
    return {
        name: torch.from_numpy(_build(shape, source, _dtype(shape, source, layout), numbers))
        for name, (shape, source) in chosen.items()
    }


def _build(shape: Shape, source: Source, dtype: str, numbers: dict[Key, Array]) -> Array:
    if isinstance(source, ConstantTensor):
        return np.full(shape, source.value, dtype)
    result = np.zeros(shape, dtype)
    if isinstance(source, IdentityTensor):
        places = np.arange(min(shape[:2]))
        result[places, places] = 1
        return result
    stored = numbers[source.layer, source.part].reshape(source.inner).astype(dtype)
    if source.factor != 1.0:
        stored *= np.array(source.factor, dtype)
    if source.inner == (1,):
        result[...] = stored  # one slope for all channels
    else:
        result[tuple(slice(size) for size in source.inner)] = stored
    return result
