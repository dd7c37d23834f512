"""What makes "SD upscale plus" differ from the host's own img2img where the image is one tile.

    python -m benchmarks.one_tile --url http://127.0.0.1:7861 --picture FILE [--checkpoint TITLE] [--method joint]

Uses a running WebUI with this extension. FILE is made a square of --side pixels; the result has twice as many, and the
tile is as large as it: what is compared is the host's img2img of the same size, seed and sampler. Each row is one part,
in levels of 255: largest and mean difference, over all seeds.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image.geometry import Size
from lib_upscale.image.resampling import resample
from tests.webui.server import as_base64, from_base64

USUAL: dict[str, Any] = {"prompt": "a photo", "steps": 10, "sampler_name": "Euler", "denoising_strength": 0.3}

Pixels = NDArray[np.int16]


class Host:
    """The running WebUI, with one source image."""

    def __init__(self, url: str, picture: Path, side: int, checkpoint: str) -> None:
        self.url, self.side = url, 2 * side
        self.source = Image.open(picture).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        settings = {"sd_model_checkpoint": checkpoint} if checkpoint else {}
        self._usual = {**USUAL, "override_settings": settings, "override_settings_restore_afterwards": False}

    def img2img(self, image: Image.Image, seed: int) -> Image.Image:
        """The host's own, which resizes the image where it has another size."""
        sizes = {"width": self.side, "height": self.side}
        return self._call("/sdapi/v1/img2img", {"init_images": [as_base64(image)], "seed": seed, **sizes})

    def script(self, seed: int, **values: Any) -> Image.Image:
        """Ours, in one tile."""
        own = {"scale": 2.0, "upscaler": "Lanczos", "tile": self.side, "resume": False, **values}
        return self._call("/upscale-plus/v1/redraw", {"image": as_base64(self.source), "seed": seed, **own})

    def enlarged(self) -> Image.Image:
        """What the script redraws, but for its 16 bits."""
        return Image.fromarray(resample(np.asarray(self.source), Size(self.side, self.side)))

    def _call(self, path: str, body: dict[str, Any]) -> Image.Image:
        content = json.dumps({**self._usual, **body}).encode()
        request = urllib.request.Request(self.url + path, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=1800) as answer:
            return from_base64(json.loads(answer.read())["images"][0]).convert("RGB")


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, dtype=np.int16)


def parts(host: Host, method: str) -> dict[str, Callable[[int], tuple[Image.Image, Image.Image]]]:
    """Two images of a seed that differ in one thing."""
    enlarged = host.enlarged()
    off = {"method": method, "color_lock": "off"}
    return {
        "encoder: the host twice": lambda seed: (host.img2img(host.source, seed), host.img2img(host.source, seed)),
        "resize: of the source, host's and ours": lambda _: (
            host.source.resize(enlarged.size, Image.Resampling.LANCZOS),
            enlarged,
        ),
        "resize: the host with its and with ours": lambda seed: (
            host.img2img(host.source, seed),
            host.img2img(enlarged, seed),
        ),
        "the rest: the script without color lock, the host with our resize": lambda seed: (
            host.script(seed, **off),
            host.img2img(enlarged, seed),
        ),
        "color lock: the script without and with": lambda seed: (
            host.script(seed, **off),
            host.script(seed, method=method),
        ),
        "all: the script, the host": lambda seed: (host.script(seed, method=method), host.img2img(host.source, seed)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--checkpoint", default="", help="its title in the WebUI's list")
    parser.add_argument("--method", choices=["tiles", "joint"], default="tiles")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    host = Host(options.url, options.picture, options.side, options.checkpoint)
    print(f"| {options.checkpoint}, {options.method} | largest | mean |")
    for name, pair in parts(host, options.method).items():
        found = [np.abs(np.subtract(*map(pixels, pair(seed)))) for seed in range(1, options.seeds + 1)]
        print(f"| {name} | {max(int(a.max()) for a in found)} | {np.mean([a.mean() for a in found]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
