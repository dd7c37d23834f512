"""The WebUI's progress bar while our jobs run: it never goes back, and says image, pass and tile truly."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.webui import test_hires_fix, test_sd_upscale
from tests.webui.server import WebUI

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]


def watch(webui: WebUI, job: Callable[[], tuple[int, Any]]) -> tuple[list[float], list[str]]:
    """Fractions and texts that the bar showed while a job ran; a text is there once for each time it came."""
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(job()), daemon=True)
    fractions: list[float] = []
    texts: list[str] = []
    thread.start()
    while thread.is_alive():
        status = webui.call("/sdapi/v1/progress?skip_current_image=true")[1]
        if status["state"]["job"]:
            fractions.append(status["progress"])
            text = status["textinfo"] or ""
            if not texts or texts[-1] != text:
                texts.append(text)
        time.sleep(0.005)
    assert answers[0][0] == 200, answers
    return fractions, [re.sub(r", step \d+ of \d+$", "", text) for text in texts]


def check(fractions: list[float], seen: list[str]) -> list[str]:
    """Assert that the bar never went back; the texts, each once in a row."""
    backwards = [(a, b) for a, b in pairwise(fractions) if b < a - 1e-6]
    assert backwards == []
    assert len(set(fractions)) >= 7, "it moves at each of the eight steps of a tile, of which polling may miss one"
    return [text for before, text in zip(["", *seen], seen, strict=False) if text and text != before]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, [rf"tile {n} of 9" for n in range(1, 10)]),
        (
            {"passes": 2, "seam_pass": True, "scale": 3.0},
            [r"pass 1 of 2, upscaling", r"pass 1 of 2, tile 1 of \d+", r"pass 2 of 2, upscaling", r"pass 2 of 2, tile"],
        ),
        ({"n_iter": 2}, ["image 1 of 2, tile 1 of 9", "image 1 of 2, tile 9 of 9", "image 2 of 2, tile 1 of 9"]),
        ({"test": True, "test_tile": 5}, ["test of tile 5 of 9"]),
        ({"method": "joint"}, ["all tiles together"]),
        ({"batch_size": 2}, ["tile 1 of 9", "tile 3 of 9", "tile 9 of 9"]),
    ],
)
def test_of_the_script(webui: WebUI, values: dict[str, Any], wanted: list[str]) -> None:
    asked = {"scale": 2.5, "tile": 128, "steps": 12, **values}
    texts = check(*watch(webui, lambda: test_sd_upscale.ask(webui, **asked)))
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
    texts = check(*watch(webui, lambda: test_hires_fix.ask(webui, section, n_iter=2, steps=10, hr_scale=2.5)))
    found = [next((n for n, text in enumerate(texts) if text == wanted_text), -1) for wanted_text in wanted]
    assert -1 not in found, (wanted, texts)
    assert found == sorted(found), (wanted, texts)
