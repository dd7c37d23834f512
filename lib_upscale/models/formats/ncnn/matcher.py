"""A network played over an ncnn graph operation by operation, and the account of what it needs.

A recognizer asks for each operation at its place; the graph is that network if every operation is
there and none is left over. Meanwhile it notes which tensors spandrel's network has, and where in the
`.bin` file their numbers lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from lib_upscale.models.formats.ncnn.graph import Filter, Graph, Node, Op, UnlikeError
from lib_upscale.models.formats.ncnn.param_file import BadGraphError
from lib_upscale.models.formats.ncnn.weights import Part

__all__ = [
    "Constant",
    "ConstantTensor",
    "GraphMatcher",
    "IdentityTensor",
    "Network",
    "Shape",
    "Source",
    "StoredTensor",
    "equal",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StoredTensor:
    """Stored numbers of shape `inner`, times `factor`, in the first places of a tensor of zeros."""

    layer: int
    part: Part
    inner: Shape
    factor: float = 1.0


@dataclass(frozen=True)
class ConstantTensor:
    """One value everywhere."""

    value: float


@dataclass(frozen=True)
class IdentityTensor:
    """The 1 by 1 convolution that hands its inputs on, as far as there are outputs, and makes zeros beyond."""


Source: TypeAlias = "StoredTensor | ConstantTensor | IdentityTensor"


@dataclass(frozen=True)
class Constant:
    """Numbers of the file that must have these values for the network to be what it seems."""

    layer: int
    values: tuple[float, ...]
    meaning: str


@dataclass
class Network:
    """What a graph was recognized as."""

    architecture: str
    """spandrel's id."""
    tensors: dict[str, tuple[Shape, Source]] = field(default_factory=dict)
    """By the names of spandrel's state dict: the shape, and where the numbers come from."""
    constants: list[Constant] = field(default_factory=list)


class GraphMatcher:
    """Walks over a graph and keeps account of what was met."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._met = {graph.input}

    @property
    def input(self) -> int:
        """The picture."""
        return self._graph.input

    @property
    def nodes(self) -> list[Node]:
        """All nodes of the graph."""
        return self._graph.nodes

    def unlike(self, reason: str) -> UnlikeError:
        """The error that says why the graph is not this network, and how far it was."""
        return UnlikeError(reason, len(self._met))

    def node(self, value: int) -> Node:
        """What makes a value."""
        return self._graph.nodes[value]

    def peek(self, op: Op, *inputs: int) -> int | None:
        """The value that `op` makes of the inputs, if it was not met yet."""
        return next((value for value in self._graph.find(op, inputs) if value not in self._met), None)

    def may(self, op: Op, *inputs: int) -> int | None:
        """As `peek`, and now it is met."""
        value = self.peek(op, *inputs)
        if value is not None:
            self._met.add(value)
        return value

    def must(self, op: Op, *inputs: int, number: float | None = None) -> int:
        """The value that `op` makes of the inputs, with `number` where one is given."""
        value = self.may(op, *inputs)
        after = self._graph.layers[self.node(inputs[0]).layer].name if inputs else ""
        if value is None:
            raise self.unlike(f"{op.value} is missing after its layer '{after}'")
        if number is not None and not equal(self.node(value).number, number):
            raise self.unlike(f"{op.value} after its layer '{after}' has {self.node(value).number:g} for {number:g}")
        return value

    def filter(self, value: int) -> Filter:
        """The shape of the convolution that makes a value."""
        shape = self.node(value).filter
        assert shape is not None
        return shape

    def convolution(self, source: int, kernel: int = 3, inputs: int = 0, outputs: int = 0) -> int:
        """The convolution of `source`; 0 for any number of channels."""
        value = self.must(Op.CONVOLUTION, source)
        shape = self.filter(value)
        name = self._graph.layers[self.node(value).layer].name
        if shape.kernel != kernel:
            raise self.unlike(f"its convolution '{name}' is {shape.kernel} by {shape.kernel}")
        if inputs and shape.inputs != inputs:
            raise BadGraphError(f"the convolution '{name}' has weights for {shape.inputs} channels and gets {inputs}")
        if outputs and shape.outputs != outputs:
            raise self.unlike(f"its convolution '{name}' makes {shape.outputs} channels instead of {outputs}")
        return value

    def keep(self, network: Network, name: str, value: int) -> None:
        """Note the weights and biases of a convolution as the tensors of `name`."""
        shape, layer = self.filter(value), self.node(value).layer
        weight = (shape.outputs, shape.inputs, shape.kernel, shape.kernel)
        network.tensors[f"{name}.weight"] = weight, StoredTensor(layer, Part.WEIGHT, weight)
        bias = (shape.outputs,)
        network.tensors[f"{name}.bias"] = (
            bias,
            StoredTensor(layer, Part.BIAS, bias) if shape.bias else ConstantTensor(0.0),
        )

    def finish(self, value: int) -> None:
        """Check that `value` is the output, clipped or not, and that nothing was left out.

        A clip to 0..1 is no part of the networks; whoever shows a picture does it anyway.
        """
        clipped = self.may(Op.CLIP, value)
        if (value if clipped is None else clipped) != self._graph.output:
            raise self.unlike("it goes on where such a network ends")
        left = next((i for i in range(len(self._graph.nodes)) if i not in self._met), None)
        if left is not None:
            name = self._graph.layers[self.node(left).layer].name
            raise self.unlike(f"its layer '{name}' has no place in such a network")


def equal(number: float, wanted: float) -> bool:
    """Whether two numbers are one within the digits that a `.param` has."""
    return abs(number - wanted) <= 1e-5 * abs(wanted)
