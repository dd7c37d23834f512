"""Writes the table of hosts and features in docs/hosts.md from what the tests marked webui said.

Run the tests in each host with `pytest -m webui tests/webui --junitxml HOST.xml`, then

    python -m tests.webui.host_table a1111.xml forge.xml ...

The name of a host, its commit and its packages come from the run's own report (tests/webui/conftest.py notes them).
Several reports of one host are taken as one run: of a test that stands in more than one, the last report counts.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["FEATURES", "feature_of", "read_run", "read_runs", "write_table"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hosts.md"
BEGIN, END = "<!-- made by tests/webui/host_table.py -->", "<!-- end -->"

FEATURES: dict[str, str] = {
    "test_start": "Starts; updates; failures leave the host alone",
    "test_in_process_checks": "Checks inside the host's process",
    "test_upscalers": "Upscaler lists, take-over, Reload UI, settings",
    "test_api": "API",
    "test_extras.TestGenerations": "Upscalers in hires fix and img2img",
    "test_extras": "Extras: single, batch, directory",
    "test_extras_page": "Extras: the page in Chromium",
    "test_sd_upscale": "SD upscale plus",
    "test_one_tile": "SD upscale plus in one tile, beside img2img",
    "test_other_models": "SD upscale plus with Stable Diffusion 3, Flux, Z-Image",
    "test_sd_upscale_scripts": "SD upscale plus beside other scripts",
    "test_sd_upscale_memory": "SD upscale plus when memory runs out",
    "test_sd_upscale_page": "SD upscale plus: the page in Chromium",
    "test_sd_upscale_plot": "SD upscale plus in an X/Y/Z plot",
    "test_hires_fix": "Hires fix plus",
    "test_hires_checkpoint": "Hires fix plus with a hires checkpoint",
    "test_hires_fix_page": "Hires fix plus: the page in Chromium",
    "test_progress": "Progress of both",
    "test_tile_prompts": "Prompts and LoRAs of tiles",
    "test_conditioning": "What reaches the model: SDXL, LoRA, embedding, inpainting",
    "test_controlnet": "ControlNet",
    "test_plan_lines_page": "Plan lines: the pages in Chromium",
}
"""Test module, or module and class -> the feature that it speaks for, in the order of the table."""

_NOT_HAD = re.compile(r"no checkpoint|playwright|no gradio in|not set|set SD_WEBUI|no real", re.IGNORECASE)
"""Reasons for a skip that speak of the machine and not of the host."""


@dataclass(frozen=True)
class Case:
    """What one test said: `outcome` is passed, failed, not run or not supported; `reason` is that of a skip."""

    feature: str
    outcome: str
    reason: str = ""


class Run:
    """What the tests said of one host, by the test's name."""

    def __init__(self, name: str, facts: dict[str, str]) -> None:
        self.name, self.facts = name, facts
        self.cases: dict[str, Case] = {}

    def update(self, later: Run) -> None:
        """Take in what a later run in the same host said.

        Raises:
            ValueError: It was another host, or the same with other packages.
        """
        if (later.name, later.facts) != (self.name, self.facts):
            raise ValueError(f"two different hosts are called {self.name}: {self.facts} and {later.facts}")
        self.cases.update(later.cases)

    def cell(self, feature: str) -> str:
        """One word for a feature, with numbers where it is not simply "works"."""
        cases = [case for case in self.cases.values() if case.feature == feature]
        outcome = Counter(case.outcome for case in cases)
        failed, passed = outcome["failed"], outcome["passed"]
        words = (
            f"fails ({failed} of {failed + passed} tests)" if failed else f"works ({passed})" if passed else "not run"
        )
        reasons = sorted({case.reason for case in cases if case.outcome == "not supported"})
        return f"{words}; not supported: {'; '.join(reasons)}" if reasons else words


def feature_of(classname: str) -> str | None:
    """The feature that a test speaks for, by JUnit's name of its class; None for tests that need no host."""
    parts = classname.split(".")
    module = next((part for part in parts if part.startswith("test_")), "")
    return FEATURES.get(f"{module}.{parts[-1]}", FEATURES.get(module))


def read_run(report: Path) -> Run:
    """Read one JUnit report.

    Raises:
        ValueError: It is of a run without a host.
    """
    suite = next(ElementTree.parse(report).iter("testsuite"))
    facts = {entry.get("name", ""): entry.get("value", "") for entry in suite.iterfind("properties/property")}
    if "host" not in facts:
        raise ValueError(f"{report}: the tests ran without a host (SD_WEBUI_DIR, SD_WEBUI_PYTHON)")
    run = Run(facts.pop("host"), facts)
    for case in suite.iter("testcase"):
        feature = feature_of(case.get("classname", ""))
        if feature is not None:
            run.cases[f"{case.get('classname')}.{case.get('name')}"] = _read_case(feature, case)
    return run


def _read_case(feature: str, case: ElementTree.Element) -> Case:
    if case.find("failure") is not None or case.find("error") is not None:
        return Case(feature, "failed")
    skipped = case.find("skipped")
    if skipped is None:
        return Case(feature, "passed")
    message = skipped.get("message", "")
    if _NOT_HAD.search(message):
        return Case(feature, "not run")
    return Case(feature, "not supported", re.sub(r"^.*?: ", "", message))


def read_runs(reports: list[Path]) -> list[Run]:
    """Read the reports of several runs, those of one host as one, in the order in which the hosts come first."""
    runs: dict[str, Run] = {}
    for report in reports:
        run = read_run(report)
        if run.name in runs:
            runs[run.name].update(run)
        else:
            runs[run.name] = run
    return list(runs.values())


def write_table(runs: list[Run]) -> str:
    """Return the table in Markdown: one column a host, one row a feature, and rows for what the hosts are."""
    names = [run.name for run in runs]
    rows = [["", *names], ["---"] * (len(runs) + 1)]
    for fact in dict.fromkeys(key for run in runs for key in run.facts):
        rows.append([fact, *(run.facts.get(fact, "") for run in runs)])
    rows += [[feature, *(run.cell(feature) for run in runs)] for feature in FEATURES.values()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(reports: list[str]) -> None:
    """Replace the table between the two marks in docs/hosts.md."""
    table = write_table(read_runs([Path(report) for report in reports]))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
