"""What the joint method adds to the sum of its model calls.

    PYTHONPATH=. python benchmarks/joint.py [--latent 128] [--tile 64] [--overlap 16] [--batch 1] [--channels 32]

The model is a small UNet-like network of convolutions, of about the cost of the small test checkpoint's UNet; a real
UNet is hundreds of times heavier, so that its share is smaller still. Overhead is process time outside of the model
over process time inside of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing.latent.joint_denoiser import JointDenoiser, JointSettings, LatentTile


class Timed:
    """A UNet-like model that adds up the time spent in it."""

    def __init__(self, channels: int) -> None:
        self.seconds, self.calls = 0.0, 0
        self.net = nn.Sequential(
            nn.Conv2d(4, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
            nn.SiLU(),
            nn.Upsample(scale_factor=2.0),
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, 4, 3, padding=1),
        ).eval()

    def __call__(
        self, x: Tensor, sigma: Tensor, tiles: Sequence[LatentTile], crop: Callable[[Tensor], Tensor]
    ) -> Tensor:
        started = time.process_time()
        result: Tensor = self.net(x)
        self.seconds += time.process_time() - started
        self.calls += 1
        return result


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("latent", 128),
        ("tile", 64),
        ("overlap", 16),
        ("batch", 1),
        ("channels", 32),
        ("steps", 20),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    model = Timed(options.channels)
    settings = JointSettings(Size(options.tile, options.tile), options.overlap, batch=options.batch, shift=True)
    joint = JointDenoiser(model, settings)
    x = torch.randn(2, 4, options.latent, options.latent)
    joint(x, torch.ones(2))
    model.seconds, model.calls = 0.0, 0
    started = time.process_time()
    for step in range(options.steps):
        joint(x, torch.full((2,), 14.6 / (step + 1)))
    whole = time.process_time() - started
    print(
        f"latent {options.latent}, tile {options.tile}: "
        f"{model.calls} calls of {1000 * model.seconds / model.calls:.1f} ms, "
        f"overhead {100 * (whole / model.seconds - 1):.2f}%"
    )


if __name__ == "__main__":
    main()
