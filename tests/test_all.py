"""tests/all.py: a tool that is missing is a failure, unless the tools are left out on purpose."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from tests import all as all_checks


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run, with every run a success and no tool installed."""
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    return ran


def test_a_missing_tool_fails(commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert all_checks.main(["-x"]) == 1
    assert "ruff: not installed" in capsys.readouterr().out
    assert [command[-1] for command in commands] == ["-x"], "the tests run all the same"


def test_without_tools_only_the_tests_run(commands: list[list[str]]) -> None:
    assert all_checks.main(["--without-tools", "-x"]) == 0
    assert [command[1:] for command in commands] == [["-m", "pytest", "-x"]]
