"""The script's axes in a real X/Y/Z plot, and what a run that can't be done answers to the WebUI's own API."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.webui.server import WebUI, as_base64, from_base64
from tests.webui.test_sd_upscale import USUAL, picture, pixels, redrawn

pytestmark = [pytest.mark.webui, pytest.mark.usefixtures("checkpoint")]


def img2img(webui: WebUI, script: str, arguments: list[Any], **values: Any) -> tuple[int, Any]:
    body = {
        **{key: USUAL[key] for key in ("prompt", "steps", "denoising_strength", "sampler_name", "seed")},
        "init_images": [as_base64(picture())],
        "script_name": script,
        "script_args": arguments,
        "width": 64,
        "height": 64,
    }
    return webui.call("/sdapi/v1/img2img", {**body, **values})


def plot_arguments(webui: WebUI, title: str, *along: tuple[str, str, list[str]], is_img2img: bool) -> list[Any]:
    """The arguments of an X/Y/Z plot that shows its cells and no legend.

    Args:
        webui: The host, whose plot may have more controls than others.
        title: In brackets, before the labels of axes.
        along: Up to three axes: of each its label, its values, and those chosen in a list.
        is_img2img: Whether the plot is that of img2img.
    """
    scripts = webui.call("/sdapi/v1/script-info")[1]
    entry = next(script for script in scripts if script["name"] == "x/y/z plot" and script["is_img2img"] is is_img2img)
    labels = entry["args"][0]["choices"]
    axes: list[Any] = []
    for label, written, chosen in along:
        assert labels.count(f"[{title}] {label}") == 1
        axes += [labels.index(f"[{title}] {label}"), written, chosen]
    axes += [0, "", []] * (3 - len(along))
    wanted = {"Draw legend": False, "Include Sub Images": True}
    rest = [wanted.get(control["label"], control["value"]) for control in entry["args"][len(axes) :]]
    assert True in rest, "its cells are shown"
    return [*axes, *rest]


def plot(webui: WebUI, *along: tuple[str, str, list[str]], **values: Any) -> tuple[int, Any]:
    """A plot along axes of the script, as for `plot_arguments`."""
    return img2img(webui, "X/Y/Z plot", plot_arguments(webui, "SD upscale plus", *along, is_img2img=True), **values)


LANCZOS = ("Upscaler", "Lanczos", ["Lanczos"])


def cells_of(answer: Any) -> list[Any]:
    return [pixels(image) for image in answer["images"] if from_base64(image).size == (240, 192)]


def test_a_plot_along_our_axes_redraws_its_cells(webui: WebUI) -> None:
    status, answer = plot(webui, ("Tile", "96, 128", []), LANCZOS)
    assert status == 200, answer
    cells = cells_of(answer)
    assert len(cells) == 2
    assert not np.array_equal(*cells)
    assert np.array_equal(cells[1], redrawn(webui, overlap=None, color_lock="wavelet"))


@pytest.mark.parametrize(
    ("axis", "values", "reason"),
    [
        ("Strength", "0.3, 7", "Denoising strength 7 is not possible: choose 0 to 1"),
        ("Scale", "2, 0", "Scale 0 is too small"),
        ("Tile", "128, 32", "64"),
    ],
)
def test_a_bad_value_is_refused_before_the_first_image(webui: WebUI, axis: str, values: str, reason: str) -> None:
    before = webui.saved_images()
    mark = len(webui.log())
    status, answer = plot(webui, (axis, values, []), LANCZOS, save_images=True)
    assert status == 500
    assert reason in json.dumps(answer)
    assert webui.saved_images() == before
    assert "0%|" not in webui.log()[mark:], "a sampler has run"


def test_a_cell_that_cannot_be_done_is_said_in_words_and_the_others_are_drawn(webui: WebUI) -> None:
    mark = len(webui.log())
    status, answer = plot(webui, ("Overlap", "32, 100", []), ("Tile", "128", []), LANCZOS)
    assert status == 200, answer
    cells = cells_of(answer)
    assert len(cells) == 2, "the one that was refused is empty"
    assert np.array_equal(cells[0], redrawn(webui, color_lock="wavelet"))
    assert not cells[1].any()
    said = webui.log()[mark:]
    assert "Upscale Plus: " in said
    assert "half of a tile" in said
    assert "Traceback" not in said


def test_the_hosts_own_api_answers_a_run_that_cannot_be_done_with_the_reason(webui: WebUI) -> None:
    scripts = webui.call("/sdapi/v1/script-info")[1]
    labels = [a["label"] for s in scripts if s["name"] == "sd upscale plus" and s["is_img2img"] for a in s["args"]]
    values = {"Upscaler": "Lanczos", "Target": "Factor", "Scale": 2.0, "Tile": 128, "Overlap": 100}
    status, answer = img2img(webui, "SD upscale plus", [values.get(label) for label in labels])
    assert status >= 400
    assert "half of a tile" in json.dumps(answer)
