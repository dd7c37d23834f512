"""The table of hosts says of each feature what the tests said, and never more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.webui import host_table

TESTS = """
import pytest

def test_good(record_testsuite_property):
    record_testsuite_property("host", "Some WebUI")
    record_testsuite_property("torch", "9.9")

def test_bad():
    assert False

@pytest.mark.skip(reason="this host has no interrogator")
def test_lacking(): ...
"""


def report_of(folder: Path, files: dict[str, str]) -> Path:
    """A report as pytest itself writes it."""
    for name, text in files.items():
        (folder / name).write_text(text)
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(folder)]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    return report


def test_each_feature_is_told_by_its_own_tests(tmp_path: Path) -> None:
    good = TESTS.replace("assert False", "pass").replace(
        '@pytest.mark.skip(reason="this host has no interrogator")', ""
    )
    unprepared = TESTS.replace("this host has no interrogator", "no checkpoint: set SD_WEBUI_DATA").replace(
        "False", "True"
    )
    run = host_table.read_run(
        report_of(
            tmp_path,
            {
                "test_api.py": good,
                "test_hires_fix.py": TESTS,
                "test_extras_page.py": unprepared,
                "test_other.py": TESTS,
            },
        )
    )
    assert run.name == "Some WebUI"
    assert run.facts == {"torch": "9.9"}
    assert run.cell("API") == "works (3)"
    assert run.cell("Hires fix plus") == "fails (1 of 2 tests); not supported: this host has no interrogator"
    assert run.cell("Extras: the page in Chromium") == "works (2)"
    assert run.cell("Upscaler lists, take-over, Reload UI, settings") == "not run"


def test_a_test_that_was_run_again_counts_once(tmp_path: Path) -> None:
    for name in ("first", "second", "other"):
        (tmp_path / name).mkdir()
    first = report_of(tmp_path / "first", {"test_api.py": TESTS, "test_hires_fix.py": TESTS})
    second = report_of(tmp_path / "second", {"test_api.py": TESTS.replace("assert False", "pass")})
    (run,) = host_table.read_runs([first, second])
    assert run.cell("API") == "works (2); not supported: this host has no interrogator"
    assert run.cell("Hires fix plus") == "fails (1 of 2 tests); not supported: this host has no interrogator"
    other = report_of(tmp_path / "other", {"test_api.py": TESTS.replace("9.9", "1.0")})
    with pytest.raises(ValueError, match="two different hosts"):
        host_table.read_runs([first, other])


def test_a_run_without_a_host_makes_no_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SD_WEBUI_DIR"):
        host_table.read_run(report_of(tmp_path, {"test_api.py": "def test_it(): ..."}))


def test_all_modules_that_need_a_host_have_a_row() -> None:
    folder = Path(__file__).parent
    needing = [
        file.stem
        for file in folder.glob("test_*.py")
        if file != Path(__file__) and "pytest.mark.webui" in file.read_text()
    ]
    named = {key.split(".")[0] for key in host_table.FEATURES}
    assert sorted(set(needing) - named) == []
