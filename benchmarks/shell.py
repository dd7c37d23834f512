"""Time of the command line around a network, beside a plain loop: read, network, write.

    python benchmarks/shell.py [--images N] [--side PIXELS] [--runs N] [--profile]

The network is a tiny Compact x2, which costs next to nothing: what is measured is everything else. Both run in this
process after all imports, in turns so that a machine whose speed drifts slows both; the ratio is the median of pairs.
`--profile` prints where the command line spends its time instead.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from lib_upscale.models.runtime.loader import load_network  # noqa: E402
from tests.cli.program import run  # noqa: E402
from tests.helpers import compact, picture, write  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given)


def measure(folder: Path, given: argparse.Namespace) -> None:
    sources = folder / "in"
    sources.mkdir()
    for number in range(given.images):
        picture(given.side, given.side, seed=number).to_pil().save(sources / f"{number:03}.png")
    model = write(folder / "models/2x-tiny.safetensors", compact(2))
    ours, plain = command_line(folder, sources, model), plain_loop(folder, sources, model)
    ours(), plain()
    if given.profile:
        with cProfile.Profile() as profile:
            ours()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        return
    for name, clock in (("wall clock", time.perf_counter), ("processor", time.process_time)):
        pairs = [(timed(plain, clock), timed(ours, clock)) for _ in range(given.runs)]
        first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(second / first for first, second in pairs)
        more = (second - first) / given.images * 1000
        print(f"{name}: plain loop {first:.2f} s, ours {second:.2f} s, ratio {ratio:.2f}, {more:.1f} ms an image more")


def timed(function: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    return clock() - start


def command_line(folder: Path, sources: Path, model: Path) -> Callable[[], None]:
    def upscale() -> None:
        result = run("upscale", sources, "-o", folder / "ours", "--model", model, "--device", "cpu", "--overwrite")
        assert result.exit_code == 0, result.output

    return upscale


def plain_loop(folder: Path, sources: Path, model: Path) -> Callable[[], None]:
    network = load_network(model)
    (folder / "plain").mkdir()

    @torch.inference_mode()
    def loop() -> None:
        for source in sorted(sources.iterdir()):
            pixels = np.asarray(Image.open(source).convert("RGB"), np.float32) / 255
            result = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
            Image.fromarray((result * 255).round().clip(0, 255).astype(np.uint8)).save(folder / "plain" / source.name)

    return loop


if __name__ == "__main__":
    main()
