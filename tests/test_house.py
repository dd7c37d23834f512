"""House rules that no linter knows: sizes, spelling, error names, exports, contracts, the border to the host."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

LIBRARY = ROOT / "lib_upscale"
MOST_MODULES = 14
MOST_LINES = 400
BRITISH = re.compile(
    r"\b(\w*colour\w*|\w*neighbour\w*|\w*centred?\b|grey\w*|behaviour\w*|licence\w*|catalogue\w*|cancell(?:able|ing)|"
    r"favour\w*|flavour\w*|modell(?:ed|ing|er)|labell(?:ed|ing)|artefact\w*|metres?|programme|"
    r"(?:normal|initial|optim|recogn|organ|serial|synchron|central|util|minim|maxim|general|special|summar|"
    r"standard|emphas|visual|categor|random|final|equal|author|real|quant|vector|rasteri|digit|custom|general)"
    r"is(?:e|es|ed|er|ing|ation)|analys(?:e|ed|es|ing))\b",
    re.IGNORECASE,
)


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """The repository's own files of these suffixes: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in done.stdout.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if path.suffix in suffixes and path.is_file()))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def library() -> list[Path]:
    return [path for path in files(".py") if path.is_relative_to(LIBRARY)]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """All modules that a file imports, late imports and those for type checkers too."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(_module(node.module, alias.name) for alias in node.names)
    return names


def _module(source: str, name: str) -> str:
    """`from a import b` imports a.b where that is a module, a otherwise."""
    inner = _folder(source) / name
    return f"{source}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else source


def packages() -> list[str]:
    return sorted(".".join(path.parent.relative_to(ROOT).parts) for path in library() if path.name == "__init__.py")


class TestSizes:
    def test_a_folder_holds_few_modules(self) -> None:
        counts = Counter(path.parent for path in library() if path.name != "__init__.py")
        assert {shown(folder): n for folder, n in counts.items() if n > MOST_MODULES} == {}

    def test_a_file_is_short(self) -> None:
        lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py", ".pyi")}
        assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


class TestProse:
    def test_the_formatter_is_never_skipped(self) -> None:
        mark = "# fmt: " + "skip"
        assert [shown(path) for path in files(".py") if mark in path.read_text(encoding="utf-8")] == []

    def test_spelling_is_american(self) -> None:
        places = [LIBRARY, ROOT / "scripts", ROOT / "docs", ROOT / ".github"]
        texts = [path for path in files(".py", ".pyi", ".md", ".js", ".yml") if _is_in(path, places)]
        # The name of a setting in 0.1.0 stands where images and programs of that time are spoken of.
        without_old_name = {path: re.sub("colour[_ ]lock", "", path.read_text(encoding="utf-8")) for path in texts}
        found = {shown(path): BRITISH.findall(text) for path, text in without_old_name.items()}
        assert {path: words for path, words in found.items() if words} == {}

    def test_the_extension_and_its_sections_are_spelled_one_way(self) -> None:
        known = {"Upscale Plus", "Upscale plus", "SD upscale plus", "Hires fix plus"}
        texts = {path: texts_for_users(path) for path in library()}
        for path in files(".md"):
            texts[path] = [re.sub(r"`[^`]*`", "", path.read_text(encoding="utf-8"))]
        found = {
            (shown(path), name)
            for path, spoken in texts.items()
            for name in re.findall(r"(?i)\b(?:sd upscale|hires\.? fix|upscale) plus\b", " ".join(spoken))
        }
        assert {place for place in found if place[1] not in known} == set()
        assert {name for _, name in found} == known


def texts_for_users(path: Path) -> list[str]:
    """All texts in a module but its docstrings."""
    nodes = list(ast.walk(tree(path)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return [node.value for node in texts if isinstance(node.value, str)]


class TestNames:
    def test_every_exception_is_called_error(self) -> None:
        bases: dict[str, list[str]] = {
            node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            for path in library()
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ClassDef)
        }

        def is_exception(name: str) -> bool:
            own = [base for base in bases.get(name, ()) if base != name]
            return name.endswith(("Error", "Exception")) or any(map(is_exception, own))

        assert [name for name in bases if is_exception(name) and not name.endswith("Error")] == []


class TestPackages:
    def test_each_exports_its_names(self) -> None:
        without = [name for name in packages() if not (_folder(name) / "__init__.pyi").is_file()]
        assert without == ["lib_upscale.webui"], "its own module is loaded by path; its packages export their names"

    def test_each_has_an_import_contract(self) -> None:
        contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.importlinter]")[2]
        containers = set(re.findall(r'containers = \["([\w.]+)"\]\nexhaustive = true', contracts))
        with_modules = {".".join(path.parent.relative_to(ROOT).parts) for path in library() if path.stem != "__init__"}
        assert sorted(with_modules - containers) == []

    def test_none_is_imported_from_inside_itself(self) -> None:
        """Its exports would hide the circle from import-linter: a stub is not followed."""
        for path in library():
            own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            inside = {name for name in imports(path) if f"{own}.".startswith(f"{name}.") and name != own}
            assert inside == set(), shown(path)


HOST_FOLDER = LIBRARY / "webui" / "host"
HOST_PACKAGES = {"modules", "modules_forge", "backend", "ldm_patched"}
"""What a WebUI's own code is called."""


class TestHost:
    def test_only_one_package_imports_a_webui(self) -> None:
        outside = [path for path in library() if not path.is_relative_to(HOST_FOLDER)]
        assert outside
        trespassers = {shown(path): sorted(names) for path in outside if (names := webui_packages(tree(path)))}
        assert trespassers == {}, "import it in lib_upscale/webui/host and use that"

    @pytest.mark.parametrize(
        "source",
        [
            "from modules import shared",
            "import modules.shared as shared",
            "def f():\n    from backend.nn import vae",
            "importlib.import_module('modules.lowvram')",
            "__import__('ldm_patched.modules')",
        ],
    )
    def test_the_check_sees_every_way_to_import(self, source: str) -> None:
        assert webui_packages(ast.parse(source))

    def test_a_module_of_ours_may_have_a_webui_s_word_in_its_name(self) -> None:
        assert not webui_packages(ast.parse("from lib_upscale.models.runtime import backends\nfrom .backend import x"))

    def test_only_the_webui_part_imports_gradio(self) -> None:
        outside = [path for path in library() if not _is_in(path, [LIBRARY / "webui"])]
        assert [shown(path) for path in outside if "gradio" in imports(path)] == []


def webui_packages(module: ast.Module) -> set[str]:
    """The packages of a WebUI that a module imports, by a statement or by a call with a plain text."""
    names = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            names += [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
    return {name.partition(".")[0] for name in names} & HOST_PACKAGES


class TestDocs:
    def test_the_tree_names_every_module(self) -> None:
        folders: list[str] = []
        named = set()
        for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1].splitlines():
            names = re.split(r"\s{2,}", line.strip())[0]
            del folders[(len(line) - len(line.lstrip())) // 2 :]
            if names.endswith("/"):
                folders.append(names)
            elif names:
                named.update(f"{''.join(folders)}{name}.py" for name in names.split(", "))
        assert named == {shown(path) for path in library() if path.name != "__init__.py"}


class TestTools:
    def test_the_formatter_is_one_version_everywhere(self) -> None:
        pinned = re.search(r'"ruff==([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        hooked = re.search(
            r"ruff-pre-commit\s+rev: v([\d.]+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
        )
        assert pinned
        assert hooked
        assert pinned[1] == hooked[1]


def _folder(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


def _is_in(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders) or path.parent == ROOT
