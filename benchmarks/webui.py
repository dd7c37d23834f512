"""The WebUI's own upscaling against ours, in the real WebUI, through one endpoint.

    SD_WEBUI_DIR=... SD_WEBUI_PYTHON=... python -m benchmarks.webui --models FOLDER [--picture FILE] [--runs 5]

Starts the WebUI on loopback with this extension, and asks `/sdapi/v1/extra-single-image` for distinct images, the
take-over of the host's upscalers off and on in turns, with the host's cache of results switched off. It prints the
medians and their ratio, and how far our result is from the network run over the whole image in RGB and float32.
FOLDER holds realesrgan-x4plus-anime.safetensors and realesrgan-x4plus.safetensors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.webui.server import WebUI, as_base64, from_base64

CASES = (("realesrgan-x4plus-anime", 256), ("realesrgan-x4plus", 128))
WANTED = 0.45


def main() -> int:
    """Measure, print, and end with 1 if a ratio is above the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--picture", type=Path, default=None, help="an image to cut the inputs from; else noise")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with running(options.models) as webui:
        webui.call("/sdapi/v1/options", {"upscaling_max_images_in_cache": 0})
        good = [measured(webui, name, side, options) for name, side in CASES]
    return 0 if all(good) else 1


@contextmanager
def running(models: Path) -> Iterator[WebUI]:
    """A WebUI with the models, in the one format that the host's own list knows."""
    folder = Path(tempfile.mkdtemp(prefix="upscale-plus-benchmark-"))
    checkpoints = os.environ.get("SD_WEBUI_DATA")
    webui = WebUI(
        Path(os.environ["SD_WEBUI_DIR"]).resolve(),
        Path(os.environ["SD_WEBUI_PYTHON"]).absolute(),
        folder,
        Path(checkpoints).resolve() if checkpoints else None,
    )
    try:
        (folder / "models" / "ESRGAN").mkdir(parents=True)
        for name, _ in CASES:
            file = folder / "models" / "ESRGAN" / f"{name}.pth"
            # The older format: the host refuses what a newer torch writes, and then quietly gives Lanczos.
            torch.save(load_file(models / f"{name}.safetensors"), file, _use_new_zipfile_serialization=False)
        webui.start()
        yield webui
    finally:
        webui.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measured(webui: WebUI, name: str, side: int, options: Any) -> bool:
    """One case: print its times, their ratio, and the distance of our result."""
    webui.call("/sdapi/v1/options", {"upscale_plus_take_over": False})
    lanczos = picture(options.picture, side, 999)
    failed = np.array_equal(ask(webui, name, lanczos), lanczos.resize((4 * side, 4 * side), Image.Resampling.LANCZOS))
    if failed:
        raise SystemExit(f"the host's own path fails on {name} and gives Lanczos: nothing to measure against")
    times: dict[bool, list[float]] = {False: [], True: []}
    results: list[tuple[Image.Image, Image.Image]] = []
    webui.call("/sdapi/v1/options", {"upscale_plus_take_over": True})
    ask(webui, name, picture(options.picture, side, 1000))  # the first call of a process is no measure
    for run in range(options.runs):
        for ours in (False, True):
            webui.call("/sdapi/v1/options", {"upscale_plus_take_over": ours})
            source = picture(options.picture, side, 2 * run + ours)
            start = time.perf_counter()
            result = ask(webui, name, source)
            times[ours].append(time.perf_counter() - start)
            if ours:
                results.append((source, result))
    medians = {ours: statistics.median(taken) for ours, taken in times.items()}
    ratio = medians[True] / medians[False]
    far = distance(*results[0], options.models / f"{name}.safetensors")
    print(
        f"{name} {side}x{side}: host {medians[False]:.2f} s, ours {medians[True]:.2f} s, ratio {ratio:.3f} "
        f"(goal {WANTED}), at most {far} levels from the whole picture; "
        f"runs {[round(t, 2) for t in times[False]]} {[round(t, 2) for t in times[True]]}",
        flush=True,
    )
    return ratio <= WANTED and far <= 2


def ask(webui: WebUI, name: str, source: Image.Image) -> Image.Image:
    """One picture through the endpoint of the Extras tab."""
    body = {"image": as_base64(source), "upscaling_resize": 4, "upscaler_1": name}
    status, answer = webui.call("/sdapi/v1/extra-single-image", body)
    if status != 200:
        raise SystemExit(f"the WebUI answered {status}: {answer}")
    return from_base64(answer["image"]).convert("RGB")


def picture(source: Path | None, side: int, number: int) -> Image.Image:
    """A picture that has not been asked for before."""
    random = np.random.default_rng(number)
    if source is None:
        return Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
    image = Image.open(source).convert("RGB")
    left, top = (int(random.integers(0, extent - side + 1)) for extent in image.size)
    return image.crop((left, top, left + side, top + side))


def distance(source: Image.Image, result: Image.Image, weights: Path) -> int:
    """The largest difference of `result`, in levels, from the network over the whole picture."""
    from spandrel import ModelLoader

    network = ModelLoader(device="cpu").load_from_file(weights).model.float().eval()
    batch = torch.from_numpy(np.asarray(source).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        whole = network(batch).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return int(np.abs(np.rint(whole * 255) - np.asarray(result, np.float32)).max())


if __name__ == "__main__":
    sys.exit(main())
