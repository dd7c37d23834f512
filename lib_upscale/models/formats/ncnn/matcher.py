"""Matches an ncnn graph against a known architecture and records where its tensors are.

A function of `networks` expects each operation at its place; the graph is that network if every operation is there and
none is left over. Meanwhile the matcher records which tensors spandrel's network has, and where in the `.bin` file
their numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass
class Network:
    """The network that a graph was matched with."""

    architecture: str
    """spandrel's id."""
    tensors: dict[str, tuple[Shape, Source]] = field(default_factory=dict)
    """By the names of spandrel's state dict: the shape, and where the numbers come from."""
    constants: list[Constant] = field(default_factory=list)


class GraphMatcher:
    """Walks over a graph and remembers which of its nodes were visited."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._visited = {graph.input}

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
        """Visit the value that `op` makes of the inputs, with `number` where one is given.

        Raises:
            UnmatchedGraphError: There is none, or its number is another.
        """
        value = self.accept(op, *inputs)
        after = self._graph.layers[self.node(inputs[0]).layer].name if inputs else ""
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

    def convolution(self, source: int, kernel: int = 3, inputs: int = 0, outputs: int = 0) -> int:
        """Visit the convolution of `source`; 0 for any number of channels."""
        value = self.expect(Op.CONVOLUTION, source)
        shape = self.filter(value)
        name = self._graph.layers[self.node(value).layer].name
        if shape.kernel != kernel:
            raise self.mismatch(f"its convolution '{name}' is {shape.kernel} by {shape.kernel}")
        if inputs and shape.inputs != inputs:
            raise DamagedGraphError(
                f"the convolution '{name}' has weights for {shape.inputs} channels and gets {inputs}"
            )
        if outputs and shape.outputs != outputs:
            raise self.mismatch(f"its convolution '{name}' makes {shape.outputs} channels instead of {outputs}")
        return value

    def record(self, network: Network, name: str, value: int) -> None:
        """Record the weights and biases of a convolution as the tensors of `name`."""
        shape, layer = self.filter(value), self.node(value).layer
        weight = (shape.outputs, shape.inputs, shape.kernel, shape.kernel)
        network.tensors[f"{name}.weight"] = weight, StoredTensor(layer, WeightKind.WEIGHT, weight)
        bias = (shape.outputs,)
        network.tensors[f"{name}.bias"] = (
            bias,
            StoredTensor(layer, WeightKind.BIAS, bias) if shape.bias else ConstantTensor(0.0),
        )

    def finish(self, value: int) -> None:
        """Check that `value` is the output, clipped or not, and that nothing was left out.

        A clip to 0..1 is no part of the networks: results are clipped anyway.
        """
        clipped = self.accept(Op.CLIP, value)
        if (value if clipped is None else clipped) != self._graph.output:
            raise self.mismatch("it goes on where such a network ends")
        unvisited = next((i for i in range(len(self._graph.nodes)) if i not in self._visited), None)
        if unvisited is not None:
            name = self._graph.layers[self.node(unvisited).layer].name
            raise self.mismatch(f"its layer '{name}' has no place in such a network")


def is_close(number: float, wanted: float) -> bool:
    """Whether two numbers are equal within the digits that a `.param` has."""
    return abs(number - wanted) <= 1e-5 * abs(wanted)
