"""Lazy exports: the public names of a package, each imported when it is first asked for.

In the manner of SPEC 1 of Scientific Python: the names of a package stand once, in the `__init__.pyi` beside its
`__init__.py`, as lines `from lib_upscale.x.y import Name as Name`. Type checkers read that file, and so does `attach`
when the package is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_EXPORT = re.compile(r"^from\s+([\w.]+)\s+import\s+\(?\s*(\w+)\s+as\s+(\w+)", re.MULTILINE)


def attach(package: str, init_file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the names of a package's stub importable from the package.

    Args:
        package: The package's `__name__`.
        init_file: The package's `__file__`; the stub lies beside it.

    Returns:
        `__getattr__`, `__dir__` and `__all__` of the package.
    """
    stub = Path(init_file).with_suffix(".pyi").read_text(encoding="utf-8")
    sources = {public: (module, name) for module, name, public in _EXPORT.findall(stub)}

    def get_attribute(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = sources[name]
        return getattr(import_module(module), original)

    return get_attribute, lambda: sorted(sources), sorted(sources)
