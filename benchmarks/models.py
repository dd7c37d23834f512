"""Time, memory and exactness of real models on real pictures, in one table.

    python benchmarks/models.py [--models DIR] [--images DIR] [--only PART_OF_A_NAME] [--runs N] [--device cpu]

For each model that is there: seconds of a plain eager call `model(image)` in NCHW and of `plan_and_upscale()`, run in
turns so that a machine whose speed drifts slows both; their ratio (median of pairs); peak memory of each beyond the
loaded model (a process each); pixels computed for each pixel of the picture; and the largest difference, in levels of
255, between the picture cut into tiles and the whole picture. "fades" stands where a network has no radius and tiles
are faded into each other, so that no difference is promised.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import conftest  # noqa: E402, F401  (a torchvision for a torch that has none)
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402

from lib_upscale.image.geometry import Size  # noqa: E402
from lib_upscale.image.io import read_picture  # noqa: E402
from lib_upscale.image.picture import Picture  # noqa: E402
from lib_upscale.models.catalog.catalog import Catalog  # noqa: E402
from lib_upscale.models.library import Models  # noqa: E402
from lib_upscale.models.runtime.loader import load_network  # noqa: E402
from lib_upscale.models.runtime.model_cache import ModelCache  # noqa: E402
from lib_upscale.settings.upscale import UpscaleSettings  # noqa: E402
from lib_upscale.upscaling.network_pass import choose_tiling, run_pass  # noqa: E402
from lib_upscale.upscaling.run import plan_and_upscale  # noqa: E402


@dataclass(frozen=True)
class Case:
    """One model on one picture."""

    model: str
    image: str
    side: int
    """Of the square that is timed."""
    tile: int
    """For the comparison with the whole picture."""
    compared: Size
    """Of the part that is computed whole and in tiles: narrow where the network is slow and sees far."""


CASES = (
    Case("realesr-animevideov3-x4", "astronaut.png", 512, 128, Size(512, 512)),
    Case("realesrgan-x4plus-anime", "coffee.png", 256, 192, Size(256, 256)),
    Case("realesrgan-x4plus", "astronaut.png", 128, 288, Size(64, 480)),
    Case("DAT_light_x4", "coffee.png", 128, 64, Size(128, 128)),
)


def main() -> int:
    options = arguments()
    if options.child:
        return child(options)
    missing = [folder for folder in (options.models, options.images) if not folder.is_dir()]
    if missing:
        print(f"nothing to measure: {missing[0]} is not there (--models, --images)")
        return 0
    print(f"{torch.__version__=!s} {torch.get_num_threads()} threads on {options.device}")
    print(
        f"{'model':28} {'picture':>9} {'plain s':>8} {'ours s':>8} {'ratio':>6} "
        f"{'plain MB':>8} {'ours MB':>8} {'computed':>8} {'error':>6}"
    )
    models = Models(Catalog([options.models], bundled=False), ModelCache(options.device))
    for case in CASES:
        if options.only and options.only not in case.model:
            continue
        if not any(entry.name == case.model for entry in models.catalog.entries()):
            print(f"{case.model:28} skipped: not in {options.models}")
            continue
        print(row(case, models, options), flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", choices=["plain", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--case", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def row(case: Case, models: Models, options: argparse.Namespace) -> str:
    picture = part(options.images / case.image, Size(case.side, case.side))
    times = in_turns(plainly(case, models, picture), ours(case, models, picture), options.runs)
    ratio = statistics.median(b / a for a, b in times)
    plain, mine = (statistics.median(column) for column in zip(*times, strict=True))
    settings = UpscaleSettings(model=case.model)
    model = models.cache.get(models.find(case.model).identity)
    plan = choose_tiling(model, picture.size, settings).plan(picture.size)
    memory = [peak(case, how, options) for how in ("plain", "ours")]
    return (
        f"{case.model:28} {case.side:>4}x{case.side:<4} {plain:8.2f} {mine:8.2f} {ratio:6.2f} "
        f"{memory[0]:8.0f} {memory[1]:8.0f} {plan.computed_pixels / picture.size.pixels:8.2f} "
        f"{error(case, models, part(options.images / case.image, case.compared)):>6}"
    )


def part(path: Path, size: Size) -> Picture:
    """The middle of a real picture, or as much of it as there is."""
    pixels = read_picture(path).pixels
    top, left = (
        max(0, (have - want) // 2) for have, want in zip(pixels.shape, (size.height, size.width), strict=False)
    )
    return Picture(np.ascontiguousarray(pixels[top : top + size.height, left : left + size.width]))


def plainly(case: Case, models: Models, picture: Picture) -> Callable[[], Any]:
    """The picture through the network as anybody would call it."""
    descriptor: Any = load_network(models.find(case.model).path)
    descriptor.model.float().to(models.cache.device)
    image = torch.from_numpy(picture.pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()

    def run() -> Any:
        with torch.inference_mode():
            return descriptor.model(image.to(models.cache.device)).cpu()

    return run


def ours(case: Case, models: Models, picture: Picture) -> Callable[[], Any]:
    return lambda: plan_and_upscale(picture, UpscaleSettings(model=case.model), models)


def in_turns(a: Callable[[], Any], b: Callable[[], Any], runs: int) -> list[tuple[float, float]]:
    a(), b()
    return [(timed(a), timed(b)) for _ in range(runs)]


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def error(case: Case, models: Models, picture: Picture) -> str:
    """The largest difference between tiles and the whole, computed in the same way and precision."""
    model = models.cache.get(models.find(case.model).identity)
    settings = UpscaleSettings(model=case.model, tile=case.tile)
    tiling = choose_tiling(model, picture.size, settings)
    if tiling.plan(picture.size).single:
        return "1 tile"
    whole, _ = run_pass(picture.pixels, model, choose_tiling(model, picture.size, UpscaleSettings(tile=4096)), 8)
    tiled, _ = run_pass(picture.pixels, model, tiling, 8)
    difference = int(np.abs(tiled.astype(int) - whole).max())
    return f"fades ({difference})" if tiling.feather else str(difference)


def peak(case: Case, how: str, options: argparse.Namespace) -> float:
    """Peak memory in MB of one run in a process of its own, beyond what the loaded model takes."""
    command = [sys.executable, __file__, "--child", how, "--case", str(CASES.index(case)), "--device", options.device]
    command += ["--models", str(options.models), "--images", str(options.images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def child(options: argparse.Namespace) -> int:
    case = CASES[options.case]
    models = Models(Catalog([options.models], bundled=False), ModelCache(options.device))
    picture = part(options.images / case.image, Size(case.side, case.side))
    run = (plainly if options.child == "plain" else ours)(case, models, picture)
    if options.child == "ours":
        models.cache.get(models.find(case.model).identity)
    if options.device.startswith("cuda"):
        before = torch.cuda.memory_allocated()
        run()
        print((torch.cuda.max_memory_allocated() - before) / 1e6)
        return 0
    # What loading took at its peak is not asked: the kernel is told to begin its high-water mark anew.
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")
    run()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print((int(line.split()[1]) * 1024 - before) / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
