"""Gives the network classes of the package resselt without importing the package.

Its modules are compiled from their files one by one, with a few changes, and by a name of ours. Importing the package
would load forty networks for one, silence every warning of the process, and fail on Python 3.10; and its networks ask
for things that not every torch and not every machine has.
"""

from __future__ import annotations

import ast
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["is_installed", "network_class"]

_NAME = "lib_upscale_resselt"
"""Under this name the modules stand in `sys.modules`, where torch's compiler looks for them."""

_UTILITIES = {"DySample": "utilities/dysample.py"}
"""What the networks used here import of the rest of the package -> the file it is in."""

_lock = threading.RLock()


def is_installed() -> bool:
    """Whether the package is there. It is not imported."""
    return _folder() is not None


def network_class(architecture: str, name: str) -> type[nn.Module]:
    """Give a network's class.

    Args:
        architecture: The package's folder for it, in `archs`.
        name: The class.

    Raises:
        ImportError: The package, or this network in it, is missing.
    """
    with _lock:
        module = _module(f"archs/{architecture}/arch.py")
    found = getattr(module, name, None)
    if found is None:
        raise ImportError(f"resselt has no {name}")
    return found  # type: ignore[no-any-return]


def _folder() -> Path | None:
    spec = find_spec("resselt")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _module(file: str) -> ModuleType:
    name = ".".join((_NAME, *Path(file).with_suffix("").parts))
    if name in sys.modules:
        return sys.modules[name]
    folder = _folder()
    if folder is None:
        raise ImportError("the package resselt is not installed")
    path = folder / file
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ImportError(f"resselt has no {file}") from error
    changes = _Changes()
    tree = ast.fix_missing_locations(changes.visit(ast.parse(source, str(path))))
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__.update({"print": _say_nothing, "Self": Any, "RMSNorm": getattr(nn, "RMSNorm", RMSNorm)})
    module.__dict__.update({wanted: getattr(_module(_UTILITIES[wanted]), wanted) for wanted in changes.wanted})
    sys.modules[name] = module
    try:
        exec(compile(tree, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - an installed package's
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Changes(ast.NodeTransformer):
    """Makes a module run on its own, on every Python and torch that this library runs on."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        """Names that it imported of the rest of the package."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.level or (node.module or "").partition(".")[0] == "resselt":
            self.wanted.update(alias.name for alias in node.names)
            return None
        if node.module == "typing":  # which has `Self` from Python 3.11 on
            node.names = [alias for alias in node.names if alias.name != "Self"]
            return node if node.names else None
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "RMSNorm" and isinstance(node.value, ast.Name) and node.value.id == "nn":
            return ast.copy_location(ast.Name("RMSNorm", ast.Load()), node)  # torch has it from 2.4 on
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        # A small tensor in pinned memory, which fails where there is no graphics card.
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "pin_memory"]
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "meshgrid" and not any(keyword.arg == "indexing" for keyword in node.keywords):
            node.keywords.append(ast.keyword("indexing", ast.Constant("ij")))  # its default, and a warning without it
        return node


def _say_nothing(*_: object) -> None:
    """Stand in for `print`: some networks print numbers when they are built, into the midst of our JSON."""


class RMSNorm(nn.Module):
    """torch's layer of this name, for torch before 2.4."""

    def __init__(self, size: int, eps: float | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize over the last dimension."""
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * self.weight
