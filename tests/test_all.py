"""tests/all.py: a missing tool is a failure unless tools are left out; what shares a WebUI runs alone."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from tests import all as all_checks


class Commands:
    """What is run, with exit codes for pytest in turn, no tool installed and so many processors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[list[str]] = []
        self.threads: list[str | None] = []
        self.codes: list[int] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(subprocess, "run", self._run)
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        monkeypatch.setattr(all_checks, "find_spec", lambda name: name)
        for name in ("SD_WEBUI_DIR", "SD_WEBUI_PYTHON", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        self.processors(2)

    def processors(self, count: int) -> None:
        self._monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)

    def _run(self, command: list[str], env: dict[str, str] | None = None, **_: Any) -> SimpleNamespace:
        assert command[1:3] == ["-m", "pytest"]
        self.ran.append(command[3:])
        self.threads.append((env or os.environ).get("OMP_NUM_THREADS"))
        return SimpleNamespace(returncode=self.codes.pop(0) if self.codes else 0)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


@pytest.fixture
def _webui(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_WEBUI_DIR", "webui")
    monkeypatch.setenv("SD_WEBUI_PYTHON", "python")


TWO = ["-n", "2", "--dist", "worksteal"]


def test_a_missing_tool_fails(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert all_checks.main(["-x"]) == 1
    assert "ruff: not installed" in capsys.readouterr().out
    assert commands.ran == [[*TWO, "-x"]], "the tests run all the same"


def test_without_tools_only_the_tests_run(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert all_checks.main(["--without-tools", "-x"]) == 0
    assert commands.ran == [[*TWO, "-x"]]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("processors", "workers", "threads"), [(2, "2", "1"), (4, "4", "1"), (16, "4", "4")])
def test_workers_share_the_processors(commands: Commands, processors: int, workers: str, threads: str) -> None:
    commands.processors(processors)
    all_checks.main(["--without-tools"])
    assert commands.ran[0][:2] == ["-n", workers]
    assert commands.threads == [threads]


def test_one_processor_or_no_xdist_is_one_after_another(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.processors(1)
    all_checks.main(["--without-tools", "-m", "not webui"])
    commands.processors(2)
    monkeypatch.setattr(all_checks, "find_spec", lambda name: None)
    all_checks.main(["--without-tools", "-m", "not webui"])
    assert commands.ran == [["-m", "(not webui)"]] * 2
    assert commands.threads == [None, None]


@pytest.mark.usefixtures("_webui")
def test_what_shares_a_webui_runs_alone(commands: Commands) -> None:
    assert all_checks.main(["--without-tools", "-m", "not slow", "-x"]) == 0
    assert commands.ran == [
        [*TWO, "-m", "(not slow) and (not webui)", "-x"],
        ["-m", "(not slow) and (webui)", "-x"],
    ]
    assert commands.threads == ["1", None]


@pytest.mark.usefixtures("_webui")
@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0], 0), ([0, 5], 0), ([5, 0], 0), ([5, 5], 5), ([1, 0], 1), ([0, 1], 1), ([5, 2], 2)]
)
def test_a_failure_in_either_run_counts_and_an_empty_one_does_not(
    commands: Commands, codes: list[int], code: int
) -> None:
    commands.codes = list(codes)
    assert all_checks.main(["--without-tools"]) == code
