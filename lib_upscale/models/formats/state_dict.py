"""Finds the tensors of one network in what a file holds: takes off wrappers and common prefixes.

Needs no torch. The order of the wrappers is spandrel's, so that both find the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from lib_upscale.models.formats.pickle.values import DamagedPickleError, TensorRef

__all__ = ["find_numbers", "find_tensors", "strip_prefixes"]

T = TypeVar("T")

_WRAPPERS = (
    # spandrel's, in its order
    "model_state_dict",
    "state_dict",
    "params_ema",
    "params-ema",
    "params",
    "model",
    "net",
    # other training programs'
    "g_ema",
    "G_ema",
    "ema",
    "generator",
    "net_g",
    "netG",
    "weights",
)
_PREFIXES = ("module.", "netG.", "net_g.", "_orig_mod.", "params_ema.", "params.", "state_dict.", "generator.")
_MAX_NUMBERS = 1000
_MAX_DEPTH = 8
_MAX_NODES = 200_000
_MAX_LETTERS = 1 << 26
"""Of all joined names: a key of a megabyte above a hundred thousand others would be joined with each of them."""


def find_tensors(value: Any) -> dict[str, TensorRef]:
    """Find the tensors among the values of a pickle.

    Returns:
        By name; where they are nested, names are joined by dots.

    Raises:
        DamagedPickleError: Names that no file of weights has.
    """
    node = _find_network(value)
    direct: dict[str, TensorRef] = {}
    if type(node) is dict:
        direct = {name: item for name, item in node.items() if type(item) is TensorRef and type(name) is str}
    return strip_prefixes(direct or _flatten(node))


def find_numbers(value: Any) -> dict[str, float]:
    """Find the plain numbers that lie beside the tensors that `find_tensors` finds.

    Returns:
        By name, without the prefixes that `strip_prefixes` removes; whole numbers and truth values too.
    """
    node = _find_network(value)
    if type(node) is not dict:
        return {}
    numbers = ((name, item) for name, item in node.items() if type(name) is str and type(item) in (int, float, bool))
    return {_strip_one(name): item for name, item in islice(numbers, _MAX_NUMBERS)}


def _strip_one(name: str) -> str:
    for _ in range(_MAX_DEPTH):
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        name = name[len(prefix) :]
    return name


def _find_network(value: Any) -> Any:
    """What holds the weights inside the value of a pickle: all wrappers taken off."""
    for _ in range(_MAX_DEPTH):
        inner = _unwrap(value)
        if inner is None:
            break
        value = inner
    return value


def strip_prefixes(tensors: Mapping[str, T]) -> dict[str, T]:
    """Remove prefixes that all names share and that no architecture has."""
    result = dict(tensors)
    for _ in range(_MAX_DEPTH):
        prefix = next((p for p in _PREFIXES if result and all(name.startswith(p) for name in result)), None)
        if prefix is None:
            break
        result = {name[len(prefix) :]: item for name, item in result.items()}
    return result


def _unwrap(node: Any) -> dict[Any, Any] | None:
    """The dictionary that holds the weights inside `node`, or None if it is `node` itself."""
    if type(node) is not dict:
        return None
    for key in _WRAPPERS:
        inner = node.get(key)
        if type(inner) is dict and inner:
            return inner
    if len(node) == 1:
        only = next(iter(node.values()))
        if type(only) is dict and only and not all(type(name) is str and len(name) < 3 for name in only):
            return only
    return None


def _flatten(value: Any) -> dict[str, TensorRef]:
    """Every tensor at any depth, without recursion: the nesting is the file's to choose."""
    tensors: dict[str, TensorRef] = {}
    pending: list[tuple[str, int, Any]] = [("", 0, value)]
    visited = letters = 0
    while pending and visited < _MAX_NODES:
        name, depth, node = pending.pop()
        visited += 1
        if type(node) is TensorRef:
            tensors.setdefault(name or "tensor", node)
        elif depth < _MAX_DEPTH:
            inner = [(str(key), item) for key, item in islice(_children(node), _MAX_NODES)]
            letters += sum(len(name) + len(key) for key, _ in inner)
            if letters > _MAX_LETTERS:
                raise DamagedPickleError("names of impossible length")
            pending.extend((f"{name}.{key}" if name else key, depth + 1, item) for key, item in reversed(inner))
    return tensors


def _children(node: Any) -> Iterator[tuple[Any, Any]]:
    if type(node) is dict:
        return iter(list(node.items()))
    if type(node) in (list, tuple):
        return iter(enumerate(node))
    return iter(())
