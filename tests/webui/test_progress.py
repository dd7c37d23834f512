"""The WebUI's progress bar while our jobs run: it never goes back, and says image, pass and tile truly."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.webui import test_extras, test_hires_fix, test_sd_upscale
from tests.webui.server import WebUI

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]


Seen = list[tuple[float, str]]


def watch(webui: WebUI, job: Callable[[], tuple[int, Any]]) -> Seen:
    """Each fraction and text that the bar showed while a job ran."""
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(job()), daemon=True)
    seen: Seen = []
    thread.start()
    while thread.is_alive():
        status = webui.call("/sdapi/v1/progress?skip_current_image=true")[1]
        if status["state"]["job"]:
            seen.append((status["progress"], re.sub(r", step \d+ of \d+$", "", status["textinfo"] or "")))
        time.sleep(0.005)
    assert answers[0][0] == 200, answers
    return seen


def check(seen: Seen) -> list[str]:
    """Assert that the bar never went back; the texts, each once in a row."""
    backwards = [(a, b) for a, b in pairwise(seen) if b[0] < a[0] - 1e-6]
    assert backwards == []
    steps = {fraction for fraction, _ in seen}
    assert len(steps) >= 7, "it moves at each of the eight steps of a tile, of which polling may miss one"
    texts = ["", *(text for _, text in seen)]
    return [text for before, text in pairwise(texts) if text and text != before]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, [rf"tile {n} of 9" for n in range(1, 10)]),
        (
            {"passes": 2, "seam_pass": True, "scale": 3.0},
            [r"pass 1 of 2, upscaling", r"pass 1 of 2, tile 1 of \d+", r"pass 2 of 2, tile"],
        ),
        ({"n_iter": 2}, ["image 1 of 2, tile 1 of 9", "image 1 of 2, tile 9 of 9", "image 2 of 2, tile 1 of 9"]),
        ({"test": True, "test_tile": 5}, ["test of tile 5 of 9"]),
        ({"method": "joint"}, ["all tiles together"]),
        ({"batch_size": 2}, ["tile 1 of 9", "tile 3 of 9", "tile 9 of 9"]),
    ],
)
def test_of_the_script(webui: WebUI, values: dict[str, Any], wanted: list[str]) -> None:
    asked = {"scale": 2.5, "tile": 128, "steps": 12, **values}
    texts = check(watch(webui, lambda: test_sd_upscale.ask(webui, **asked)))
    found = [next((n for n, text in enumerate(texts) if re.match(pattern, text)), -1) for pattern in wanted]
    assert -1 not in found, (wanted, texts)
    assert found == sorted(found), (wanted, texts)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("tiles", ["image 1 of 2, tile 1 of 9", "image 1 of 2, tile 9 of 9", "image 2 of 2, tile 9 of 9"]),
        ("joint", ["image 1 of 2, all tiles together", "image 2 of 2, all tiles together"]),
    ],
)
def test_of_hires_fix(webui: WebUI, method: str, wanted: list[str]) -> None:
    section = {"enabled": True, "method": method, "tile": 128, "overlap": 32}
    seen = watch(webui, lambda: test_hires_fix.ask(webui, section, n_iter=2, steps=10, hr_scale=2.5))
    texts = check(seen)
    # The second pass has nine tiles of the first one's size: half of the bar, as the host counts, is not its share.
    begun = [next(fraction for fraction, text in seen if text == wanted_text) for wanted_text in wanted]
    assert begun[0] < 0.2, begun
    assert begun[-1] >= 0.5, begun
    assert seen[-1][0] > 0.95
    found = [next((n for n, text in enumerate(texts) if text == wanted_text), -1) for wanted_text in wanted]
    assert -1 not in found, (wanted, texts)
    assert found == sorted(found), (wanted, texts)


def test_of_a_batch_in_extras(webui: WebUI, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        test_extras.picture(500, 400).save(tmp_path / "in" / f"{name}.png")
    controls = {"model": "SwinIR_in_ESRGAN", "tile": 64}

    def job() -> tuple[int, Any]:
        return 200, test_extras.run_folder(webui, tmp_path / "in", tmp_path / "out", **controls)

    seen = watch(webui, job)
    texts = check(seen)
    found = [next((n for n, text in enumerate(texts) if text.startswith(f"image {i} of 2, tile")), -1) for i in (1, 2)]
    assert -1 < found[0] < found[1], texts
    first = [fraction for fraction, text in seen if text.startswith("image 1 of 2")]
    second = [fraction for fraction, text in seen if text.startswith("image 2 of 2")]
    assert first[0] < 0.1
    assert max(first) <= 0.52, "half of the work, and the hundredth that the host's API adds"
    assert min(second) >= 0.49
    assert seen[-1][0] > 0.99
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
