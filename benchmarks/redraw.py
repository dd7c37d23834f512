"""The script "SD upscale plus" against the host's own "SD upscale", and both against one redraw of the whole picture.

    python -m benchmarks.redraw --url http://127.0.0.1:7861 --picture FILE [--method joint] [--seeds 8] [--keep FOLDER]

Uses a running WebUI with this extension. FILE has 512x512 pixels; it is enlarged twice by Lanczos, 10 steps of Euler,
strength 0.3. For each border between our tiles it prints the geometric mean over the seeds of how visible it is: the
mean gradient of the four columns at it over the median of those 8 to 40 pixels beside it, as a share of the same
number of WHOLE (the host's img2img over the whole enlarged picture, same seed). Beside it, what two WHOLEs of
neighboring seeds show. Then how much of a redraw it is, its cost in area and its time.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.tiles.grid import plan_grid
from tests.webui.server import as_base64, from_base64

USUAL: dict[str, Any] = {"prompt": "a photo", "steps": 10, "sampler_name": "Euler", "denoising_strength": 0.3}
SIDE = 1024
BEYOND = 64
"""Pixels from a border at which a picture counts as away from it."""

_SEAMS = {"tiles": 1.05, "joint": 1.02}
"""How far a border may be from the whole picture's."""

Plane = NDArray[np.float64]


class Host:
    """The running WebUI. Each call gives the picture and the seconds it took."""

    def __init__(self, url: str, picture: Path, keep: Path | None, method: str) -> None:
        self.url, self.keep, self.method = url, keep, method
        self.source = Image.open(picture).convert("RGB").resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)
        self.upscaled = self.source.resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    def ours(self, seed: int, **values: Any) -> tuple[Image.Image, float]:
        own = {"scale": 2.0, "upscaler": "Lanczos", "method": self.method}
        body = {**USUAL, "image": as_base64(self.source), "seed": seed, **own, **values}
        return self._call(f"ours-{seed}-{values.get('color_lock', 'on')}", "/upscale-plus/v1/redraw", body)

    def whole(self, seed: int) -> tuple[Image.Image, float]:
        body = {**USUAL, "init_images": [as_base64(self.upscaled)], "seed": seed, "width": SIDE, "height": SIDE}
        return self._call(f"whole-{seed}", "/sdapi/v1/img2img", body)

    def builtin(self, seed: int) -> tuple[Image.Image, float]:
        body = {
            **USUAL,
            "init_images": [as_base64(self.source)],
            "seed": seed,
            "width": 512,
            "height": 512,
            "script_name": "SD upscale",
            "script_args": ["", 64, "Lanczos", 2.0],
        }
        return self._call(f"builtin-{seed}", "/sdapi/v1/img2img", body)

    def _call(self, name: str, path: str, body: dict[str, Any]) -> tuple[Image.Image, float]:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        started = time.monotonic()
        with urllib.request.urlopen(request, timeout=1800) as answer:
            image = from_base64(json.loads(answer.read())["images"][0]).convert("RGB")
        seconds = time.monotonic() - started
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            image.save(self.keep / f"{name}.png")
        return image, seconds


def luma(image: Image.Image) -> Plane:
    return np.asarray(image.convert("L"), dtype=np.float64)


def visible(plane: Plane, position: int, axis: int) -> float:
    """How visible a border is; see the module's text."""
    gradient = np.abs(np.diff(plane, axis=axis)).mean(axis=1 - axis)
    near = gradient[position - 2 : position + 2].mean()
    beside = np.r_[gradient[position - 40 : position - 8], gradient[position + 8 : position + 40]]
    return float(near / np.median(beside))


def borders() -> list[tuple[str, int, int]]:
    """(name, position, axis) of the midline of each overlap of our grid."""
    grid = plan_grid(Size(SIDE, SIDE), native=512)
    lines = []
    for name, axis, line in (("x", 1, grid.across), ("y", 0, grid.down)):
        for index in range(len(line.origins) - 1):
            shared = line.shared(index)
            lines.append((name, (shared.start + shared.stop) // 2, axis))
    return lines


def geometric(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def away(plane: Plane) -> Plane:
    """The middle of the first tile, away from every border."""
    first = min(position for _, position, _ in borders())
    return plane[BEYOND : first - 2 * BEYOND, BEYOND : first - 2 * BEYOND]


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--method", choices=["tiles", "joint"], default="tiles")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--keep", type=Path, default=None, help="a folder for all pictures")
    options = parser.parse_args()
    host = Host(options.url, options.picture, options.keep, options.method)
    host.ours(0, test=True)  # loads the model
    wholes, ours = [], []
    for seed in range(1, options.seeds + 1):
        wholes.append(luma(host.whole(seed)[0]))
        ours.append(luma(host.ours(seed)[0]))
        print(f"seed {seed} done", flush=True)
    good = [_seam(border, ours, wholes, _SEAMS[options.method]) for border in borders()]
    good += [_redraw(host, options.seeds), _area(), _time(host, options.seeds)]
    return 0 if all(good) else 1


def _seam(border: tuple[str, int, int], ours: list[Plane], wholes: list[Plane], share: float) -> bool:
    name, position, axis = border
    seen = [visible(a, position, axis) / visible(w, position, axis) for a, w in zip(ours, wholes, strict=True)]
    others = wholes[1:] + wholes[:1]
    two = [visible(a, position, axis) / visible(w, position, axis) for a, w in zip(others, wholes, strict=True)]
    scatter = float(np.exp(np.std(np.log(two)) / np.sqrt(len(two))))
    mean = geometric(seen)
    print(
        f"border {name}={position}: {mean:.3f} of WHOLE ({min(seen):.3f} to {max(seen):.3f}); two WHOLEs: "
        f"{min(two):.3f} to {max(two):.3f}, so a mean within a factor of {scatter:.3f} says nothing"
    )
    return abs(np.log(mean)) <= max(np.log(share), np.log(scatter))


def _redraw(host: Host, seeds: int) -> bool:
    before = away(luma(host.upscaled))
    changes, details = [], []
    for seed in range(1, min(seeds, 3) + 1):
        whole, ours = away(luma(host.whole(seed)[0])), away(luma(host.ours(seed, color_lock="off")[0]))
        changes.append(np.abs(ours - before).mean() / np.abs(whole - before).mean())
        details.append(_energy(ours) / _energy(whole))
    change, detail = geometric(changes), geometric(details)
    print(f"without color lock, away from borders: change {change:.3f}, gradient energy {detail:.3f} of WHOLE's")
    return 0.9 <= change <= 1.1 and 0.9 <= detail <= 1.1


def _energy(plane: Plane) -> float:
    return float(np.square(np.diff(plane, axis=0)).mean() + np.square(np.diff(plane, axis=1)).mean())


def _area() -> bool:
    grid = plan_grid(Size(2048, 2048), native=512)
    area = len(grid.tiles) * grid.tile.pixels / 2048**2
    print(f"UNet area per output pixel at 2048x2048: {area:.3f} ({grid.columns}x{grid.rows} tiles of {grid.tile})")
    return area <= 1.30


def _time(host: Host, seeds: int) -> bool:
    pairs = [(host.ours(seed)[1], host.builtin(seed)[1]) for seed in range(1, min(seeds, 3) + 1)]
    ratio = float(np.median([ours / builtin for ours, builtin in pairs]))
    shown = ", ".join(f"{ours:.1f}/{builtin:.1f} s" for ours, builtin in pairs)
    print(f"time against the built-in SD upscale: {ratio:.2f} ({shown})")
    return ratio <= 0.8


if __name__ == "__main__":
    raise SystemExit(main())
