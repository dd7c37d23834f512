"""The VAE by tiles against the whole-picture VAE: time, peak memory, largest difference.

    PYTHONPATH=. python benchmarks/vae.py [--size 512] [--tile 256] [--ch 128] [--blocks 2]
                                          [--run whole exact fast] [--part decode encode]

With SD_WEBUI_DIR set (and run with that WebUI's Python) the network is the WebUI's own, of Stable Diffusion 1.5's
shape with random weights; `--ch 32 --blocks 1` is that of the small test checkpoint. Else it is the tests' own.
Every run is a process of its own, so that its peak is its own: anonymous memory over what it was with the network
loaded, or what CUDA allocated. `levels` is the largest difference to the whole picture's result, of 255.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lib_upscale.settings.redraw import VaeMode
from lib_upscale.vae import MARGIN, Spill, decode, encode

ROOT = Path(__file__).resolve().parent.parent


def networks(options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    webui = os.environ.get("SD_WEBUI_DIR")
    if not webui:
        sys.path.insert(0, str(ROOT))
        from tests.vae.vae_network import Decoder, Encoder

        widths = [options.ch * m for m in (1, 2, 4, 4)]
        return Encoder(widths), Decoder(widths)
    sys.path.insert(0, str(Path(webui, "repositories", "stable-diffusion-stability-ai")))
    with contextlib.redirect_stdout(sys.stderr):
        from ldm.modules.diffusionmodules import model

        shape = {
            "double_z": True,
            "z_channels": 4,
            "resolution": 256,
            "in_channels": 3,
            "out_ch": 3,
            "ch": options.ch,
            "ch_mult": (1, 2, 4, 4),
            "num_res_blocks": options.blocks,
            "attn_resolutions": [],
            "dropout": 0.0,
        }
        return model.Encoder(**shape), model.Decoder(**shape)


class Peak:
    """Samples this process's anonymous memory."""

    def __enter__(self) -> Peak:
        self._running, self.highest, self._start = True, 0, anonymous()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()
        self.highest -= self._start
        if torch.cuda.is_available():
            self.highest = torch.cuda.max_memory_allocated()

    def _watch(self) -> None:
        while self._running:
            self.highest = max(self.highest, anonymous())
            time.sleep(0.003)


def anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def make_input(options: argparse.Namespace, factor: int) -> Tensor:
    """A picture with slopes, edges and noise, or such a latent."""
    side = options.size // factor
    generator = torch.Generator().manual_seed(0)
    channels = 3 if factor == 1 else 4
    if options.picture:
        from PIL import Image

        with Image.open(options.picture) as image:
            pixels = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), np.float32)
        x = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        return x if channels == 3 else 2 * torch.cat([x, x.mean(1, keepdim=True)], 1)
    x = 0.3 * torch.randn(1, channels, side, side, generator=generator)
    x += torch.linspace(-1, 1, side)[:, None]
    x[..., : side // 2, : side // 2] *= -0.5
    return x.clamp(-1, 1) if channels == 3 else x * 2


def one(options: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder, decoder = (module.eval().to(device) for module in networks(options))
    part = options.part[0]
    module, run, factor = (encoder, encode, 1) if part == "encode" else (decoder, decode, 8)
    x = make_input(options, factor)
    with torch.no_grad():
        module(x[..., :8, :8].to(device))
    with Peak() as peak, torch.no_grad():
        started = time.perf_counter()
        if options.run[0] == "whole":
            y = module(x.to(device)).cpu()
        else:
            spill = Spill(Path(options.spill), options.memory * 2**20) if options.spill else None
            y = run(module, x, tile=options.tile, mode=VaeMode(options.run[0]), margin=options.margin, spill=spill)
        seconds = time.perf_counter() - started
    np.save(options.out, y.float().numpy())
    report = {"seconds": round(seconds, 2), "peak_mb": peak.highest // 2**20}
    print(json.dumps(report))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--margin", type=int, default=MARGIN)
    parser.add_argument("--ch", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--run", nargs="+", default=["whole", "exact", "fast"])
    parser.add_argument("--part", nargs="+", default=["decode", "encode"])
    parser.add_argument("--picture", default="")
    parser.add_argument("--spill", default="", help="a folder for activations that do not fit")
    parser.add_argument("--memory", type=int, default=0, help="MiB of activations that stay in memory")
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    if options.out:
        one(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in options.part:
            for run in options.run:
                out = Path(folder, f"{part}-{run}.npy")
                arguments = [*sys.argv[1:], "--run", run, "--part", part, "--out", str(out)]
                done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                report = json.loads(done.stdout.splitlines()[-1])
                whole = Path(folder, f"{part}-whole.npy")
                if run != "whole" and whole.exists():
                    a, b = np.load(whole), np.load(out)
                    report["difference"] = f"{np.abs(a - b).max():.1e}"
                    report["spread"] = f"{a.std():.2f}"
                    report["mean"] = f"{np.abs(a - b).mean():.1e}"
                print(f"{part} {options.size} tile {options.tile} {run:5}", json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
