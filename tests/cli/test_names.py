"""Names of any characters, as the system allows them: files, folders and patterns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.program import photo, run

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="not every name is allowed there")

ODD = "[]{}*?!-~#%$&;'\"\\|<>()=+,:@^`. \n\t\r\x1b\u202eé犬🐕\u200d\ufeff"
names = st.one_of(
    st.text(st.sampled_from(ODD + "ab1"), min_size=1, max_size=12),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 0x2F}).map(os.fsdecode),
).filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=names, name=names)
@example(folder="-o", name="--help")
@example(folder="[a-z]*", name="[!a]?")
@example(folder="a\nb", name="**")
@example(folder="end.", name="end. ")
@example(folder=os.fsdecode(b"\xff\xfe"), name=os.fsdecode(b"caf\xe9"))
@example(folder=".hidden", name=".hidden")
def test_names_of_any_characters(
    folder: str, name: str, model: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("names")
    monkeypatch.chdir(here)
    photo(Path(folder, f"{name}.png"), 4, 4)
    photo(Path("out-of-the-way", folder, "other.png"), 4, 4)
    visible = not name.startswith(".")
    inputs = {f"{folder}/{name}.png": True, folder: visible, f"{folder}/*.png": visible}
    for number, (given_name, found) in enumerate(inputs.items()):
        out = here / f"results{number}"
        options = ("-o", out, "--model", "2x-tiny", "--models-dir", model.parent, "--device", "cpu")
        result = run("upscale", *options, "--", given_name)
        assert "nexpected" not in result.output
        made = [path.name for path in out.glob("*") if path.suffix == ".png"] if out.is_dir() else []
        assert made == ([f"{name}.png"] if found else []), result.output
        assert result.exit_code == (0 if found else 1)
        assert len(result.stdout.splitlines()) == (3 if found else 4), "no name breaks a line of the table"
