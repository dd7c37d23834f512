"""Hires fix by tiles against the host's own: equality, memory and time, in a running WebUI with this extension.

    python -m benchmarks.hires --url http://127.0.0.1:7861 --pid PID [--only equal|memory|time] [--sides 768 1536]

equal: an image that is one tile large, for six samplers: the largest difference in levels of 255. memory: the peak of
the server's own memory (RssAnon) during a run, over what it had just before, for the whole run with upscaler Lanczos
from half the side; the host's own pass, then ours with VAE fast and exact. Restart the server between sizes for clean
numbers: a process keeps some of what it once had. time: both, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.webui.server import from_base64

USUAL: dict[str, Any] = {
    "prompt": "a photo of a lighthouse",
    "negative_prompt": "blurry",
    "steps": 4,
    "sampler_name": "Euler",
    "denoising_strength": 0.5,
    "seed": 7,
    "enable_hr": True,
    "hr_scale": 2.0,
    "hr_upscaler": "Lanczos",
}
SAMPLERS = (
    ("Euler", "Automatic"),
    ("Euler a", "Automatic"),
    ("DPM++ 2M", "Karras"),
    ("DPM++ SDE", "Automatic"),
    ("DDIM", "Automatic"),
    ("UniPC", "Automatic"),
)
MEGABYTE = 1024  # kB


class Host:
    """The running WebUI."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def draw(self, section: dict[str, Any] | None = None, **values: Any) -> NDArray[np.int64]:
        body = {**USUAL, **values}
        if section is not None:
            body["alwayson_scripts"] = {"hires fix plus": {"args": [{"enabled": True, **section}]}}
        request = urllib.request.Request(
            self.url + "/sdapi/v1/txt2img", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=3600) as answer:
            image = from_base64(json.loads(answer.read())["images"][0])
        return np.asarray(image.convert("RGB"), dtype=np.int64)

    def anonymous(self) -> float:
        """Megabytes of memory that is the server's alone."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / MEGABYTE
        raise LookupError("RssAnon")


class Peak:
    """The most memory that the server has while this lasts, over what it had before."""

    def __init__(self, host: Host) -> None:
        self._host, self.megabytes = host, 0.0
        self._ended = threading.Event()

    def __enter__(self) -> Peak:
        self._before = self._host.anonymous()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.megabytes = max(self.megabytes, self._host.anonymous() - self._before)


def equal(host: Host) -> None:
    for sampler, scheduler in SAMPLERS:
        values = {"width": 256, "height": 256, "sampler_name": sampler, "scheduler": scheduler}
        reference = host.draw(**values)
        for method, more in (("joint", {}), ("tiles", {"color_lock": "off"})):
            result = host.draw({"method": method, "tile": 512, **more}, **values)
            print(f"{sampler} {scheduler}, {method}: at most {np.abs(result - reference).max()} levels", flush=True)


def memory(host: Host, sides: list[int], own: bool) -> None:
    host.draw(width=128, height=128, hr_scale=1.5)
    for side in sides:
        ways: list[tuple[str, dict[str, Any] | None]] = [
            ("joint, fast", {"method": "joint", "tile": 512, "overlap": 64, "vae": "fast"}),
            ("joint, exact", {"method": "joint", "tile": 512, "overlap": 64, "vae": "exact"}),
            ("tiles", {"method": "tiles", "tile": 512, "overlap": 64}),
        ]
        if own:
            ways.append(("the host's own", None))
        for name, section in ways:
            with Peak(host) as peak:
                host.draw(section, width=side // 2, height=side // 2, steps=2)
            print(f"{side}x{side}, {name}: {peak.megabytes:.0f} MB", flush=True)


def times(host: Host) -> None:
    ratios = []
    for seed in (1, 2, 3):
        taken = []
        for section in ({"method": "joint", "tile": 512, "overlap": 64}, None):
            start = time.monotonic()
            host.draw(section, width=512, height=512, seed=seed)
            taken.append(time.monotonic() - start)
        ratios.append(taken[0] / taken[1])
        print(f"512x512 by 2: joint {taken[0]:.1f} s, the host's own {taken[1]:.1f} s", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7861")
    parser.add_argument("--pid", type=int, required=True, help="of the WebUI's process")
    parser.add_argument("--only", choices=["equal", "memory", "time"])
    parser.add_argument("--sides", type=int, nargs="+", default=[768, 1536])
    parser.add_argument("--not-own", action="store_true", help="leave the host's own pass out of the memory's numbers")
    options = parser.parse_args()
    host = Host(options.url, options.pid)
    if options.only in (None, "equal"):
        equal(host)
    if options.only in (None, "memory"):
        memory(host, options.sides, not options.not_own)
    if options.only in (None, "time"):
        times(host)


if __name__ == "__main__":
    main()
