"""Matches an ncnn graph against a known architecture and records where its tensors are.

A function of `networks` expects each operation at its place; the graph is that network if every operation is there and
none is left over. Meanwhile the matcher records which tensors spandrel's network has, and where in the `.bin` file
their numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lib_upscale.models.formats.ncnn.graph import Filter, Graph, Node, Op, UnmatchedGraphError
from lib_upscale.models.formats.ncnn.param_file import DamagedGraphError
from lib_upscale.models.formats.ncnn.weights import WeightKind

__all__ = [
    "Constant",
    "ConstantTensor",
    "GraphMatcher",
    "IdentityTensor",
    "Network",
    "Shape",
    "Source",
    "StoredTensor",
    "is_close",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StoredTensor:
    """Stored numbers of shape `inner`, times `factor`, in the first places of a tensor of zeros."""

    layer: int
    kind: WeightKind
    inner: Shape
    factor: float = 1.0


@dataclass(frozen=True)
class ConstantTensor:
    """One value everywhere."""

    value: float


@dataclass(frozen=True)
class IdentityTensor:
    """A 1 by 1 convolution that passes its inputs on, as far as there are outputs, and makes zeros beyond."""


Source: TypeAlias = "StoredTensor | ConstantTensor | IdentityTensor"


@dataclass(frozen=True)
class Constant:
    """Numbers of the file that must have these values for the network to be what it seems."""

    layer: int
    values: tuple[float, ...]
    meaning: str


@dataclass(frozen=True)
class Network:
    """The network that a graph was matched with."""

    architecture: str
    """spandrel's id."""
    tensors: dict[str, tuple[Shape, Source]]
    """By the names of spandrel's state dict: the shape, and where the numbers come from."""
    constants: list[Constant]


class GraphMatcher:
    """Walks over a graph and remembers which of its nodes were visited."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._visited = {graph.input}
        self.tensors: dict[str, tuple[Shape, Source]] = {}
        self.constants: list[Constant] = []

    @property
    def input(self) -> int:
        """The value that is the input image."""
        return self._graph.input

    @property
    def nodes(self) -> list[Node]:
        """All nodes of the graph."""
        return self._graph.nodes

    def mismatch(self, reason: str) -> UnmatchedGraphError:
        """Make the error that says why the graph is not this network, and how far it was."""
        return UnmatchedGraphError(reason, len(self._visited))

    def node(self, value: int) -> Node:
        """What makes a value."""
        return self._graph.nodes[value]

    def _layer_name(self, value: int) -> str:
        return self._graph.layers[self.node(value).layer].name

    def peek(self, op: Op, *inputs: int) -> int | None:
        """The value that `op` makes of the inputs, if it was not visited yet."""
        return next((value for value in self._graph.find(op, inputs) if value not in self._visited), None)

    def accept(self, op: Op, *inputs: int) -> int | None:
        """Visit the value that `op` makes of the inputs, if there is one."""
        value = self.peek(op, *inputs)
        if value is not None:
            self._visited.add(value)
        return value

    def expect(self, op: Op, *inputs: int, number: float | None = None) -> int:
        """Visit the value that `op` makes of the inputs, whose number must be `number` if that is not None.

        Raises:
            UnmatchedGraphError: There is none, or its number is another.
        """
        value = self.accept(op, *inputs)
        after = self._layer_name(inputs[0]) if inputs else ""
        if value is None:
            raise self.mismatch(f"{op.value} is missing after its layer '{after}'")
        if number is not None and not is_close(self.node(value).number, number):
            raise self.mismatch(f"{op.value} after its layer '{after}' has {self.node(value).number:g} for {number:g}")
        return value

    def filter(self, value: int) -> Filter:
        """The shape of the convolution that makes a value."""
        shape = self.node(value).filter
        assert shape is not None
        return shape

    def convolution(self, source: int, kernel: int = 3, inputs: int = 0, outputs: int = 0, name: str = "") -> int:
        """Visit the convolution of `source`.

        Args:
            source: The value that it gets.
            kernel: Its side in pixels.
            inputs: Its input channels; 0 for any number.
            outputs: Its output channels; 0 for any number.
            name: Records its weights and biases as the tensors of this name; "" for none.

        Raises:
            UnmatchedGraphError: There is none, or it is another.
            DamagedGraphError: Its weights are for another number of input channels.
        """
        value = self.expect(Op.CONVOLUTION, source)
        shape, layer = self.filter(value), self._layer_name(value)
        if shape.kernel != kernel:
            raise self.mismatch(f"its convolution '{layer}' is {shape.kernel} by {shape.kernel}")
        if inputs and shape.inputs != inputs:
            raise DamagedGraphError(
                f"the convolution '{layer}' has weights for {shape.inputs} channels and gets {inputs}"
            )
        if outputs and shape.outputs != outputs:
            raise self.mismatch(f"its convolution '{layer}' makes {shape.outputs} channels instead of {outputs}")
        if name:
            weight = (shape.outputs, shape.inputs, kernel, kernel)
            stored = StoredTensor(self.node(value).layer, WeightKind.WEIGHT, weight)
            self.tensors[f"{name}.weight"] = weight, stored
            self.tensors[f"{name}.bias"] = (shape.outputs,), self.bias(value)
        return value

    def bias(self, value: int) -> Source:
        """Where the biases of a convolution come from."""
        shape = self.filter(value)
        if not shape.bias:
            return ConstantTensor(0.0)
        return StoredTensor(self.node(value).layer, WeightKind.BIAS, (shape.outputs,))

    def finish(self, value: int) -> None:
        """Check that `value` is the output, clipped or not, and that nothing was left out.

        A clip to 0..1 is no part of the networks: results are clipped anyway.
        """
        clipped = self.accept(Op.CLIP, value)
        if (value if clipped is None else clipped) != self._graph.output:
            raise self.mismatch("it continues where such a network ends")
        unvisited = next((i for i in range(len(self._graph.nodes)) if i not in self._visited), None)
        if unvisited is not None:
            raise self.mismatch(f"its layer '{self._layer_name(unvisited)}' has no place in such a network")


def is_close(number: float, wanted: float) -> bool:
    """Whether two numbers are equal within the digits that a `.param` has."""
    return abs(number - wanted) <= 1e-5 * abs(wanted)
