"""What the README claims: its example runs, the messages that it explains exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lib_upscale import read_picture, write_picture
from lib_upscale.image.geometry import Size
from tests.conftest import ROOT
from tests.helpers import compact, picture, write

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path) -> None:
    write(tmp_path / "models" / "4x-UltraSharp.safetensors", compact(4))
    write_picture(picture(40, 30), tmp_path / "photo.png")
    example = README.partition("<!-- the Python example -->\n```python\n")[2].partition("```")[0]
    assert example
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport tests.conftest\n{example}"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert read_picture(tmp_path / "large.png").size == Size(80, 60)


def test_messages_that_are_explained_are_real() -> None:
    table = README.partition("## When something goes wrong")[2].partition("\n## ")[0]
    symptoms = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")][2:]
    sources = [*(ROOT / "lib_upscale").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ROOT / "install.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    quoted = [text for symptom in symptoms for text in re.findall(r"`([^`]+)`", symptom)]
    assert quoted
    for text in quoted:
        for piece in re.split(r"\.\.\.|'[^']*'", text):
            assert piece.strip() in code, text
