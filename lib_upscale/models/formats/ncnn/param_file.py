"""Parses the text of an ncnn `.param` file into a list of layers; nothing is interpreted yet.

A `.param` file is a magic number, a line with the number of layers and of blobs, and a line for each layer: its type,
its name, how many blobs it takes and makes, their names, and parameters `id=value`. An array is written with the id
-23300 - id, and its length before its values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["MAX_TEXT", "TEXT_MAGIC", "DamagedGraphError", "Layer", "Parameters", "parse_param", "quotable"]

TEXT_MAGIC = b"7767517"
"""The first word of every `.param` text."""

MAX_TEXT = 8 << 20
"""Bytes of text that are read at most; the largest networks known have 0.2 MB."""

MAX_LAYERS = 20_000
MAX_LINKS = 256
_MAX_INTEGER = 2**31 - 1

_INTEGER = re.compile(r"-?[0-9]{1,10}\Z")
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?\Z")
_ARRAY_BASE = -23300

Value: TypeAlias = "int | float | tuple[float, ...]"


class DamagedGraphError(Exception):
    """Raised when a pair contradicts itself: no ncnn tool writes such a file. The message says why, as a clause."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of one layer, by ncnn's number for each."""

    layer: str
    values: dict[int, Value]

    def integer(self, key: int, default: int, low: int = -_MAX_INTEGER, high: int = _MAX_INTEGER) -> int:
        """The whole number under `key`. Raises DamagedGraphError if it is no whole number or outside low..high."""
        value = self.values.get(key, default)
        if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_INTEGER:
            value = int(value)
        if not isinstance(value, int) or not low <= value <= high:
            raise DamagedGraphError(f"parameter {key} of layer '{self.layer}' is {value}")
        return value

    def real(self, key: int, default: float) -> float:
        """The number under `key`. Raises DamagedGraphError if it is an array."""
        value = self.values.get(key, default)
        if isinstance(value, tuple):
            raise DamagedGraphError(f"parameter {key} of layer '{self.layer}' is a list")
        return float(value)

    def reals(self, key: int) -> tuple[float, ...]:
        """The array under `key`, empty where there is none."""
        value = self.values.get(key, ())
        return value if isinstance(value, tuple) else (float(value),)


@dataclass(frozen=True)
class Layer:
    """One line of the graph."""

    kind: str
    """ncnn's type of the layer: "Convolution", "PReLU", ..."""
    name: str
    inputs: tuple[str, ...]
    """The blobs it takes."""
    outputs: tuple[str, ...]
    """The blobs it makes."""
    words: tuple[str, ...]
    """Its parameters as they are written."""

    def parameters(self) -> Parameters:
        """The parameters, parsed. Raises DamagedGraphError where one is not of the form `number=number(s)`."""
        values: dict[int, Value] = {}
        for word in self.words:
            key, equals, text = word.partition("=")
            if not equals or not _INTEGER.match(key):
                raise DamagedGraphError(f"layer '{self.name}' has the parameter '{quotable(word)}'")
            number = int(key)
            if number <= _ARRAY_BASE:
                values[_ARRAY_BASE - number] = self._array(text)
            else:
                values[number] = self._scalar(text)
        return Parameters(self.name, values)

    def _scalar(self, text: str) -> int | float:
        if _INTEGER.match(text) and abs(int(text)) <= _MAX_INTEGER:
            return int(text)
        if len(text) <= 64 and _REAL.match(text) and not _INTEGER.match(text):
            return float(text)
        raise DamagedGraphError(f"layer '{self.name}' has the value '{quotable(text)}'")

    def _array(self, text: str) -> tuple[float, ...]:
        count, *items = text.split(",")
        if count != str(len(items)):
            raise DamagedGraphError(
                f"layer '{self.name}' has a list of {len(items)} values that claims {quotable(count)}"
            )
        return tuple(float(self._scalar(item)) for item in items)


def parse_param(text: bytes) -> tuple[Layer, ...]:
    """Parse a `.param` text. Lines beyond the number that the head announces are ignored, as ncnn does.

    Returns:
        The layers in their order, which is also the order of the weights in the `.bin`.

    Raises:
        DamagedGraphError: It is no graph, or one with a part missing.
    """
    lines = [[word.decode("latin-1") for word in line.split()] for line in text.splitlines()]
    lines = [words for words in lines if words]
    if not lines or lines[0] != [TEXT_MAGIC.decode()]:
        raise DamagedGraphError("it does not start with ncnn's number 7767517 on a line of its own")
    head = lines[1] if len(lines) > 1 else []
    if len(head) != 2 or not all(_INTEGER.match(word) for word in head):
        raise DamagedGraphError("its second line does not say how many layers there are")
    count = int(head[0])
    if not 1 <= count <= MAX_LAYERS:
        raise DamagedGraphError(f"it claims to have {count} layers")
    if len(lines) - 2 < count:
        raise DamagedGraphError(f"it has {len(lines) - 2} of the {count} layers that its head announces")
    return tuple(_parse_layer(words) for words in lines[2 : 2 + count])


def _parse_layer(words: list[str]) -> Layer:
    if len(words) < 4 or not all(_INTEGER.match(word) for word in words[2:4]):
        raise DamagedGraphError(f"the line '{quotable(' '.join(words[:9]))}' is not a layer")
    inputs, outputs = int(words[2]), int(words[3])
    if not (0 <= inputs <= MAX_LINKS and 0 <= outputs <= MAX_LINKS) or len(words) < 4 + inputs + outputs:
        raise DamagedGraphError(f"layer '{quotable(words[1])}' lacks some of its {inputs} inputs and {outputs} outputs")
    first, last = 4 + inputs, 4 + inputs + outputs
    return Layer(words[0], quotable(words[1]), tuple(words[4:first]), tuple(words[first:last]), tuple(words[last:]))


def quotable(text: str, limit: int = 60) -> str:
    """Make what a message quotes of a file printable and not too long."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."
