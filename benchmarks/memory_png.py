"""How much memory it takes to write and to resample a large picture, beside the picture itself.

    python benchmarks/memory_png.py [SIDE]

A picture of SIDE x SIDE pixels (16384 unless given) is made in memory; then the highest amount of memory the process
ever held is read after each step. A second copy of the picture would show as 100 %.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lib_upscale.image.geometry import Size
from lib_upscale.image.io import write_picture
from lib_upscale.image.picture import Picture
from lib_upscale.image.resampling import resample


def highest() -> float:
    """The most memory this process ever held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def photograph(side: int) -> Picture:
    """Something smooth with a little noise, made by bands."""
    pixels = np.empty((side, side, 3), np.uint8)
    random = np.random.default_rng(0)
    x = np.linspace(0, 40, side, dtype=np.float32)
    for start in range(0, side, 64):
        rows = np.linspace(start, start + 63, 64, dtype=np.float32)[: side - start, None] / 300
        band = 128 + 90 * np.sin(x + rows)
        noise = random.integers(0, 5, (*band.shape, 3), np.uint8)
        pixels[start : start + 64] = band[..., None].astype(np.uint8) + noise
    return Picture(pixels)


def measure(what: str, picture: Picture, work: Callable[[], object]) -> None:
    """Do it and print its row."""
    before = highest()
    start, busy = time.perf_counter(), time.process_time()
    work()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    own = picture.pixels.nbytes / 2**20
    more = highest() - before
    print(f"{what:34} {own:10.0f} MiB {more:10.0f} MiB {more / own:8.1%} {seconds:8.1f} s {busy:8.1f} s")


def main() -> None:
    """Print the table."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 16384
    print(f"{'':34} {'picture':>14} {'on top':>14} {'':8} {'time':>10} {'CPU time':>10}")
    small = photograph(max(1, side // 4))
    picture = photograph(side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        measure(f"write {picture.size} as PNG", picture, lambda: write_picture(picture, path))
        print(f"  {path.stat().st_size / 2**20:.0f} MiB on disk")
        path.unlink()
        half = Size(side // 2, side // 2)
        measure(f"resample {picture.size} to {half}", picture, lambda: resample(picture.pixels, half))
        print(f"  {half.pixels * 3 / 2**20:.0f} MiB of that is the result")
        twice = small.size.scaled(2)
        measure(f"resample {small.size} to {twice}", small, lambda: resample(small.pixels, twice))
        print(f"  {twice.pixels * 3 / 2**20:.0f} MiB of that is the result")


if __name__ == "__main__":
    main()
