"""Public names: each stands once, in a package's stub, and is imported no earlier than it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

STUBS = sorted((ROOT / "lib_upscale").rglob("__init__.pyi"))


def _package(stub: Path) -> str:
    return ".".join(stub.parent.relative_to(ROOT).parts)


def _exports(stub: Path) -> list[tuple[str, str, str]]:
    """Module, name there and public name of every export, read by Python's own parser."""
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.ImportFrom) for node in nodes)
    return [
        (str(node.module), alias.name, str(alias.asname))
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def _defined(module: str) -> set[str]:
    """What a module defines at its top level, without importing it."""
    path = ROOT / (module.replace(".", "/") + ".py")
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


@pytest.mark.parametrize("stub", STUBS, ids=_package)
class TestStub:
    """Of every package that has one."""

    def test_every_name_is_defined_where_the_stub_says(self, stub: Path) -> None:
        for module, name, _ in _exports(stub):
            assert name in _defined(module), f"{module} defines no {name}"

    def test_the_package_exports_every_name(self, stub: Path) -> None:
        package = import_module(_package(stub))
        names = sorted(public for _, _, public in _exports(stub))
        assert sorted(package.__all__) == names == dir(package)

    def test_every_name_is_the_packages_own(self, stub: Path) -> None:
        """A name of a package above it would hide an import upward from import-linter."""
        for module, name, _ in _exports(stub):
            assert module.startswith(f"{_package(stub)}."), name

    def test_every_name_resolves(self, stub: Path) -> None:
        if _package(stub).startswith("lib_upscale.webui"):
            pytest.skip("its modules need a WebUI")
        package = import_module(_package(stub))
        for module, name, public in _exports(stub):
            assert getattr(package, public) is getattr(import_module(module), name)

    def test_no_name_is_that_of_a_module_beside_it(self, stub: Path) -> None:
        """Importing that module would put it in the place of the function or class."""
        modules = {path.stem for path in stub.parent.iterdir()}
        assert modules.isdisjoint(public for _, _, public in _exports(stub))


def test_an_unknown_name_is_an_attribute_error() -> None:
    import lib_upscale

    with pytest.raises(AttributeError, match="module 'lib_upscale' has no attribute 'upscal'"):
        _ = lib_upscale.upscal  # type: ignore[attr-defined]


def test_upscale_and_redraw_are_functions_whatever_was_imported_before() -> None:
    import_module("lib_upscale.upscaling.run")
    import_module("lib_upscale.redrawing.run")
    from lib_upscale import redraw, upscale

    assert callable(upscale)
    assert callable(redraw)


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, lib_upscale, lib_upscale as u; u.Catalog; print(*({'torch', 'spandrel'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
