"""Finds the numbers of an ncnn network in its `.bin` file and reads them.

The file has no index: the weights of all layers follow one another in the order of the `.param`, and how long each is
follows from the layers. Before the weights of a convolution is a tag of four bytes that says how they are stored;
biases, slopes and constants are bare 32-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from lib_upscale.models.formats.ncnn.graph import Graph, Op, UnmatchedGraphError
from lib_upscale.models.formats.ncnn.param_file import DamagedGraphError
from lib_upscale.spread import ceil_div

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["BinLayout", "Segment", "WeightKey", "WeightKind", "read_layout", "read_numbers"]

_TAG_HALF = 0x01306B47
_TAG_BYTES = 0x000D4B38
_TAG_FLOAT = (0, 0x0002C056)
_TABLE = 256 * 4


class WeightKind(Enum):
    """Which numbers of a layer are meant."""

    WEIGHT = "weight"
    BIAS = "bias"
    SLOPE = "slope"
    DATA = "data"


WeightKey = tuple[int, WeightKind]
"""A layer, by its place in the `.param`, and which of its numbers."""


@dataclass(frozen=True)
class Segment:
    """`count` numbers from byte `offset` on."""

    offset: int
    count: int
    half: bool = False
    """16-bit floats; otherwise 32-bit ones."""

    @property
    def dtype(self) -> str:
        """numpy's name, which is torch's too: "float16" or "float32"."""
        return "float16" if self.half else "float32"


@dataclass(frozen=True)
class BinLayout:
    """Where everything is in a `.bin` file."""

    size: int
    """Bytes of the file. A file of another length is another file."""
    segments: dict[WeightKey, Segment]


class _BinCursor:
    """Goes through a `.bin` file layer by layer, and never beyond its end."""

    def __init__(self, stream: BinaryIO, size: int, graph: Graph) -> None:
        self._stream = stream
        self._size = size
        self._graph = graph
        self._at = 0
        self.segments: dict[WeightKey, Segment] = {}
        self.quantized = ""
        """How the first weights that are no floats are stored."""

    def finish(self) -> None:
        if self._at != self._size:
            raise DamagedGraphError(f"its .bin file has {self._size} bytes where the layers need {self._at}")

    def floats(self, layer: int, kind: WeightKind, count: int) -> None:
        """Bare 32-bit floats."""
        self.segments[layer, kind] = Segment(self._at, count)
        self._skip(4 * count, layer)

    def tagged(self, layer: int, kind: WeightKind, count: int) -> None:
        """Weights as their tag says."""
        start = self._at
        self._skip(4, layer)
        self._stream.seek(start)
        tag = int.from_bytes(self._stream.read(4), "little")
        if tag in _TAG_FLOAT:
            self.floats(layer, kind, count)
        elif tag == _TAG_HALF:
            self.segments[layer, kind] = Segment(self._at, count, half=True)
            self._skip(_padded(2 * count), layer)
        elif tag == _TAG_BYTES:
            self.quantized = self.quantized or "8-bit integers"
            self._skip(_padded(count), layer)
        else:
            self.quantized = self.quantized or "places in a table of 256 values"
            self._skip(_TABLE + _padded(count), layer)

    def _skip(self, size: int, layer: int) -> None:
        self._at += size
        if self._at > self._size:
            name = self._graph.layers[layer].name
            raise DamagedGraphError(f"its .bin file ends after {self._size} bytes, within layer '{name}'")


def _padded(size: int) -> int:
    return ceil_div(size, 4) * 4


def read_layout(graph: Graph, path: Path) -> BinLayout:
    """Find the numbers of every layer in the `.bin` file at `path`; only the tags are read.

    Raises:
        DamagedGraphError: The file is shorter or longer than the layers need.
        UnmatchedGraphError: Weights are stored as something other than floats.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        cursor = _BinCursor(stream, size, graph)
        for node in graph.nodes:
            if node.op is Op.CONVOLUTION and node.filter is not None:
                shape = node.filter
                cursor.tagged(node.layer, WeightKind.WEIGHT, shape.inputs * shape.outputs * shape.kernel**2)
                if shape.bias:
                    cursor.floats(node.layer, WeightKind.BIAS, shape.outputs)
                _skip_int8_scales(cursor, graph, node.layer, shape.outputs)
            elif node.op is Op.PRELU:
                cursor.floats(node.layer, WeightKind.SLOPE, node.slopes)
            elif node.op is Op.CONSTANT:
                cursor.floats(node.layer, WeightKind.DATA, node.size[0] * node.size[1] * node.size[2])
    cursor.finish()
    if cursor.quantized:
        raise UnmatchedGraphError(f"its weights are stored as {cursor.quantized}, which are not read")
    return BinLayout(size, cursor.segments)


def _skip_int8_scales(cursor: _BinCursor, graph: Graph, layer: int, outputs: int) -> None:
    scales = graph.layers[layer].parameters().integer(8, 0)
    if not scales:
        return
    cursor.quantized = cursor.quantized or "8-bit integers"
    cursor.floats(layer, WeightKind.DATA, outputs + 1 + (1 if scales > 100 else 0))


def read_numbers(path: Path, layout: BinLayout, wanted: Iterable[WeightKey]) -> dict[WeightKey, Array]:
    """Read the wanted segments as arrays of one dimension.

    Raises:
        DamagedGraphError: The file is no longer the one whose layout was read.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if size != layout.size:
            raise DamagedGraphError(f"its .bin file has changed: it had {layout.size} bytes and has {size}")
        return {key: _read_segment(stream, layout.segments[key]) for key in wanted}


def _read_segment(stream: BinaryIO, segment: Segment) -> Array:
    import numpy as np

    stream.seek(segment.offset)
    content = stream.read(segment.count * (2 if segment.half else 4))
    return np.frombuffer(content, dtype="<f2" if segment.half else "<f4", count=segment.count)
