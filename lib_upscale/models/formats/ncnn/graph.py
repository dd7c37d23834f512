"""Brings an ncnn graph into one normal form, whichever tool wrote it.

The same network is written differently by onnx2ncnn, pnnx and ncnnoptimize: activations of their own or inside the
convolution, `Eltwise` with factors or `BinaryOp` after `BinaryOp`, with or without `Split`. Here a value is a number, a
`Split` is nothing, and every operation is a node of its own, so that a network is recognized by what is connected to
what and never by a name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial, reduce

from lib_upscale.models.formats.ncnn.param_file import DamagedGraphError, Layer, Parameters, quotable

__all__ = ["MAX_FACTOR", "Filter", "Graph", "Node", "Op", "UnmatchedGraphError", "build_graph"]

MAX_CHANNELS = 1 << 16
MAX_FACTOR = 16
_OTHER_ARITHMETIC = "an arithmetic operation that supported networks do not have"


class UnmatchedGraphError(Exception):
    """Raised for a sound graph that is none of the networks that can be read. The message says why, as a clause."""

    def __init__(self, reason: str, matched: int = 0) -> None:
        super().__init__(reason)
        self.matched = matched
        """How many operations fitted before this one: which of several answers is the most telling."""


class Op(Enum):
    """What a node computes; in brackets what `Node.number` is."""

    INPUT = "the image"
    CONVOLUTION = "a convolution"
    PRELU = "a PReLU"
    LEAKY = "a LeakyReLU"  # (slope; 0 for ReLU)
    SILU = "a SiLU"
    SIGMOID = "a sigmoid"
    CLIP = "a clip to 0..1"
    ADD = "an addition"
    SUBTRACT = "a subtraction"
    MULTIPLY = "a multiplication"
    OFFSET = "an addition of a number"  # (the number)
    SCALE = "a multiplication by a number"  # (the number)
    CONCAT = "a concatenation"
    NEAREST = "a nearest-neighbor enlargement"  # (factor)
    BICUBIC = "a bicubic resize"  # (factor)
    SHUFFLE = "a pixel shuffle"  # (factor)
    UNSHUFFLE = "a pixel unshuffle"  # (factor)
    CONSTANT = "a constant"


@dataclass(frozen=True)
class Filter:
    """The shape of a convolution: square kernel, stride 1, zero padding that keeps the size."""

    inputs: int
    outputs: int
    kernel: int
    bias: bool


@dataclass(frozen=True)
class Node:
    """One operation. Its value has the number of its place in `Graph.nodes`."""

    op: Op
    inputs: tuple[int, ...]
    layer: int
    """Place of its layer in the file, to which its weights belong."""
    number: float = 0.0
    filter: Filter | None = None
    slopes: int = 0
    """How many slopes a PReLU has: one for each channel, or one for all."""
    size: tuple[int, int, int] = (0, 0, 0)
    """Width, height and channels of a constant."""


_COMMUTATIVE = {Op.ADD, Op.MULTIPLY}


@dataclass
class Graph:
    """The nodes of a network with one input and one output."""

    layers: tuple[Layer, ...]
    nodes: list[Node] = field(default_factory=list)
    input: int = -1
    output: int = -1
    _users: dict[tuple[Op, tuple[int, ...]], list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, node: Node) -> int:
        """Append a node; the number of its value."""
        self.nodes.append(node)
        self._users[_key(node.op, node.inputs)].append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def find(self, op: Op, inputs: tuple[int, ...]) -> list[int]:
        """The values that `op` makes of `inputs`; their order is ignored for sums and products."""
        return self._users.get(_key(op, inputs), [])


def _key(op: Op, inputs: tuple[int, ...]) -> tuple[Op, tuple[int, ...]]:
    return op, tuple(sorted(inputs)) if op in _COMMUTATIVE else inputs


def build_graph(layers: tuple[Layer, ...]) -> Graph:
    """Bring a network into its normal form.

    Raises:
        UnmatchedGraphError: A layer, or a setting of one, occurs in none of the networks that can be read.
        DamagedGraphError: The graph contradicts itself.
    """
    unknown = sorted({layer.kind for layer in layers} - _LOWER.keys())
    if unknown:
        raise UnmatchedGraphError(_unknown_layers(unknown))
    graph = Graph(layers)
    blobs: dict[str, int] = {}
    for index, layer in enumerate(layers):
        values = tuple(_blob(blobs, name, layer) for name in layer.inputs)
        result = _LOWER[layer.kind](_LayerContext(graph, index, layer, values, layer.parameters()))
        if len(layer.outputs) != 1 and layer.kind != "Split":
            raise DamagedGraphError(f"layer '{layer.name}' has {len(layer.outputs)} outputs")
        for name in layer.outputs:
            if name in blobs:
                raise DamagedGraphError(f"two layers make '{quotable(name)}'")
            blobs[name] = result
    _find_ends(graph)
    return graph


def _unknown_layers(kinds: list[str]) -> str:
    if any(kind.startswith(("pnnx.", "nn.", "F.", "torch.")) for kind in kinds):
        return "it is PNNX's own graph, which must be converted to ncnn first"
    quoted = [quotable(kind, 40) for kind in kinds[:4]]
    more = f" and {len(kinds) - 4} more" if len(kinds) > 4 else ""
    return f"it has layers that supported networks do not have: {', '.join(quoted)}{more}"


def _blob(blobs: dict[str, int], name: str, layer: Layer) -> int:
    if name not in blobs:
        raise DamagedGraphError(f"layer '{layer.name}' takes '{quotable(name)}', which no layer before it makes")
    return blobs[name]


def _find_ends(graph: Graph) -> None:
    inputs = [i for i, node in enumerate(graph.nodes) if node.op is Op.INPUT]
    used = {value for node in graph.nodes for value in node.inputs}
    outputs = [i for i in range(len(graph.nodes)) if i not in used]
    if len(inputs) != 1:
        raise UnmatchedGraphError(f"it has {len(inputs)} inputs instead of one image")
    if len(outputs) != 1:
        raise UnmatchedGraphError(f"it has {len(outputs)} outputs instead of one image")
    graph.input, graph.output = inputs[0], outputs[0]


@dataclass(frozen=True)
class _LayerContext:
    """A layer and its inputs: what the functions below turn into nodes of the graph."""

    graph: Graph
    index: int
    layer: Layer
    inputs: tuple[int, ...]
    parameters: Parameters

    @property
    def name(self) -> str:
        return self.layer.name

    def one(self) -> int:
        """The only input. Raises DamagedGraphError if there is another number of them."""
        if len(self.inputs) != 1:
            raise DamagedGraphError(f"layer '{self.name}' has {len(self.inputs)} inputs instead of one")
        return self.inputs[0]

    def add(self, op: Op, *inputs: int, number: float = 0.0) -> int:
        """Add a node to the graph; the number of its value."""
        return self.graph.add(Node(op, inputs, self.index, number))

    def scale(self, value: int, factor: float) -> int:
        """Multiply a value by a number, which is no node where the number is 1."""
        return value if factor == 1.0 else self.add(Op.SCALE, value, number=factor)

    def mismatch(self, what: str) -> UnmatchedGraphError:
        return UnmatchedGraphError(f"its layer '{self.name}' is {what}")


def _input(context: _LayerContext) -> int:
    if context.inputs:
        raise DamagedGraphError(f"the input '{context.name}' takes something")
    return context.add(Op.INPUT)


def _convolution(context: _LayerContext) -> int:
    p, value = context.parameters, context.one()
    outputs = p.integer(0, 0, 1, MAX_CHANNELS)
    kernel = p.integer(1, 0, 1, 64)
    weights = p.integer(6, 0, 1)
    inputs, rest = divmod(weights, outputs * kernel * kernel)
    if rest or not 1 <= inputs <= MAX_CHANNELS:
        raise DamagedGraphError(f"the convolution '{context.name}' has {weights} weights for {outputs} channels")
    if p.integer(11, kernel) != kernel or kernel not in (1, 3):
        raise context.mismatch("a convolution that is neither 1 by 1 nor 3 by 3")
    if p.integer(2, 1) != 1 or p.integer(12, p.integer(2, 1)) != 1:
        raise context.mismatch("a dilated convolution")
    if p.integer(3, 1) != 1 or p.integer(13, p.integer(3, 1)) != 1:
        raise context.mismatch("a convolution with a stride")
    if p.integer(19, 0):
        raise context.mismatch("a convolution whose weights are computed")
    if not _keeps_size(p, kernel):
        raise context.mismatch("a convolution that does not keep the image's size")
    shape = Filter(inputs, outputs, kernel, p.integer(5, 0, 0, 1) == 1)
    result = context.graph.add(Node(Op.CONVOLUTION, (value,), context.index, filter=shape))
    return _activation(context, result, p.integer(9, 0), p.reals(10))


def _keeps_size(p: Parameters, kernel: int) -> bool:
    left = p.integer(4, 0)
    top = p.integer(14, left)
    pads = (left, top, p.integer(15, left), p.integer(16, top))
    same = {-233, -234}  # ncnn's SAME_UPPER and SAME_LOWER, which are one for an odd kernel and stride 1
    return all(pad in same or pad == (kernel - 1) // 2 for pad in pads) and p.real(18, 0.0) == 0.0


def _activation(context: _LayerContext, value: int, kind: int, numbers: tuple[float, ...]) -> int:
    if kind == 0:
        return value
    if kind == 1:
        return context.add(Op.LEAKY, value)
    if kind == 2 and len(numbers) == 1:
        return context.add(Op.LEAKY, value, number=numbers[0])
    if kind == 3 and numbers == (0.0, 1.0):
        return context.add(Op.CLIP, value)
    if kind == 4:
        return context.add(Op.SIGMOID, value)
    raise context.mismatch("a convolution with an activation that supported networks do not have")


def _prelu(context: _LayerContext) -> int:
    slopes = context.parameters.integer(0, 0, 1, MAX_CHANNELS)
    return context.graph.add(Node(Op.PRELU, (context.one(),), context.index, slopes=slopes))


def _clip(context: _LayerContext) -> int:
    if (context.parameters.real(0, -1.0), context.parameters.real(1, -1.0)) != (0.0, 1.0):
        raise context.mismatch("a clip to other limits than 0 and 1")
    return context.add(Op.CLIP, context.one())


def _binary(context: _LayerContext) -> int:
    kind = context.parameters.integer(0, 0)
    if context.parameters.integer(1, 0):
        return _binary_with_number(context, kind, context.parameters.real(2, 0.0))
    if len(context.inputs) != 2:
        raise DamagedGraphError(f"layer '{context.name}' has {len(context.inputs)} inputs instead of two")
    op = {0: Op.ADD, 1: Op.SUBTRACT, 2: Op.MULTIPLY}.get(kind)
    if op is None:
        raise context.mismatch(_OTHER_ARITHMETIC)
    return context.add(op, *context.inputs)


def _binary_with_number(context: _LayerContext, kind: int, number: float) -> int:
    value = context.one()
    if kind in (0, 1):
        return context.add(Op.OFFSET, value, number=-number if kind else number)
    if kind == 2:
        return context.scale(value, number)
    if kind == 3 and number != 0:
        return context.scale(value, 1 / number)
    raise context.mismatch(_OTHER_ARITHMETIC)


def _eltwise(context: _LayerContext) -> int:
    kind, factors = context.parameters.integer(0, 0), context.parameters.reals(1)
    if len(context.inputs) < 2 or (factors and len(factors) != len(context.inputs)):
        raise DamagedGraphError(f"layer '{context.name}' has {len(context.inputs)} inputs and {len(factors)} factors")
    if kind not in (0, 1):
        raise context.mismatch(_OTHER_ARITHMETIC)
    if kind == 0 and factors:
        raise DamagedGraphError(f"layer '{context.name}' is a product with factors")
    terms = map(context.scale, context.inputs, factors or (1.0,) * len(context.inputs))
    return reduce(partial(context.add, Op.ADD if kind else Op.MULTIPLY), list(terms))


def _concat(context: _LayerContext) -> int:
    if context.parameters.integer(0, 0) != 0 or not context.inputs:
        raise context.mismatch("a concatenation of something other than channels")
    return context.add(Op.CONCAT, *context.inputs)


def _interp(context: _LayerContext) -> int:
    p = context.parameters
    height, width = p.real(1, 1.0), p.real(2, 1.0)
    if len(context.inputs) != 1 or any(p.integer(key, 0) for key in (3, 4, 5)):
        raise context.mismatch("a resize to a fixed size or to that of another layer")
    if 1 not in p.values or 2 not in p.values:
        raise DamagedGraphError(f"the resize '{context.name}' does not say to which size")
    op = {1: Op.NEAREST, 3: Op.BICUBIC}.get(p.integer(0, 0))
    if op is None or height != width or p.integer(6, 0) or not 0 < height <= MAX_FACTOR:
        raise context.mismatch("a resize of a kind that supported networks do not have")
    return context.one() if height == 1 else context.add(op, context.one(), number=height)


def _shuffle(op: Op, context: _LayerContext) -> int:
    factor = context.parameters.integer(0, 1, 1, MAX_FACTOR)
    if context.parameters.integer(1, 0):
        raise context.mismatch("a pixel shuffle with another order of channels")
    return context.one() if factor == 1 else context.add(op, context.one(), number=factor)


def _memory_data(context: _LayerContext) -> int:
    p = context.parameters
    if context.inputs:
        raise DamagedGraphError(f"the constant '{context.name}' takes something")
    if p.integer(11, 0) or p.integer(21, 1) != 1:
        raise context.mismatch("a constant that is stored in a way that supported networks do not use")
    width, height, channels = (max(1, p.integer(key, 0, 0, MAX_CHANNELS)) for key in (0, 1, 2))
    return context.graph.add(Node(Op.CONSTANT, (), context.index, size=(width, height, channels)))


_LOWER: dict[str, Callable[[_LayerContext], int]] = {
    "Input": _input,
    "Split": _LayerContext.one,
    "Noop": _LayerContext.one,
    "Dropout": lambda context: context.scale(context.one(), context.parameters.real(0, 1.0)),
    "Convolution": _convolution,
    "PReLU": _prelu,
    "ReLU": lambda context: context.add(Op.LEAKY, context.one(), number=context.parameters.real(0, 0.0)),
    "Clip": _clip,
    "Swish": lambda context: context.add(Op.SILU, context.one()),
    "Sigmoid": lambda context: context.add(Op.SIGMOID, context.one()),
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "Interp": _interp,
    "PixelShuffle": partial(_shuffle, Op.SHUFFLE),
    "Reorg": partial(_shuffle, Op.UNSHUFFLE),
    "MemoryData": _memory_data,
}
"""Type of a layer -> the function that adds its nodes and gives the number of the last value."""
