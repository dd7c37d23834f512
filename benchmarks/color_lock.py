"""The color locks on real images, with stand-ins for a redraw: halos, color errors and detail.

    python -m benchmarks.color_lock IMAGE... [--keep FOLDER]

Each image is enlarged twice by Lanczos, changed as a redraw might, and locked as one tile. Printed for each:

- halo: over the strongest contours (the top 2 % of the gradient of L behind a blur of 3 pixels, 4000 of them), the mean
  of how much L differs from the enlarged image's, along a line across the contour and 4 to 64 pixels from it, over what
  it is 48 to 64 pixels away on the same side. Its height is the largest of them in L, its width how many pixels are
  over 1 L.
- color error: the mean CIE76 delta E between result and enlarged image, both blurred by 8 pixels.
- detail: the result's gradient energy as a share of the changed image's. `contrast` and `mix` raise the contrast by
  1.3; a lock that takes that back takes the energy as well (1 / 1.3 squared is 0.59).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from lib_upscale.redrawing.tiles.color_lock import match_low_frequencies
from lib_upscale.redrawing.tiles.filters import Pixels, Plane, gaussian, luma
from lib_upscale.redrawing.tiles.lab import lab_to_rgb, rgb_to_lab
from lib_upscale.settings.redraw import ColorLock

_REACH, _FAR, _CONTOUR = 64, 48, 4
"""Pixels from a contour: how far is looked, where a halo has ended, and what still belongs to the contour."""


def _noise(pixels: Pixels) -> Pixels:
    return np.random.default_rng(3).standard_normal((*pixels.shape[:2], 1)).astype(np.float32)


def _sharpen(pixels: Pixels, amount: float = 1.5) -> Pixels:
    return pixels + np.float32(amount) * (pixels - gaussian(pixels, 2.0))


def _cast(pixels: Pixels) -> Pixels:
    return lab_to_rgb(rgb_to_lab(pixels) + np.array([4, 8, -10], np.float32))


def _turn_hues(pixels: Pixels) -> Pixels:
    lab, angle = rgb_to_lab(pixels), np.deg2rad(15)
    turn = 1.25 * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return lab_to_rgb(np.dstack([lab[:, :, :1], lab[:, :, 1:] @ turn.astype(np.float32)]))


def _raise_contrast(pixels: Pixels) -> Pixels:
    return np.clip((pixels - np.float32(0.45)) * np.float32(1.3) + np.float32(0.45), 0, 1)


def _add_texture(pixels: Pixels) -> Pixels:
    return pixels + np.float32(0.21) * gaussian(_noise(pixels), 1.0)


def _mix(pixels: Pixels) -> Pixels:
    return _sharpen(_raise_contrast(_turn_hues(pixels)), 1.0) + np.float32(0.03) * _noise(pixels)


STAND_INS: dict[str, Callable[[Pixels], Pixels]] = {
    "sharpened": _sharpen,
    "cast": _cast,
    "hues": _turn_hues,
    "contrast": _raise_contrast,
    "texture": _add_texture,
    "mix": _mix,
}


def halo(result: Pixels, source: Pixels) -> tuple[float, int]:
    """Height in L and width in pixels; see the module's text."""
    light = rgb_to_lab(source)[:, :, 0]
    more = rgb_to_lab(result)[:, :, 0] - light
    down, across = np.gradient(gaussian(light, 3.0))
    strength = np.hypot(down, across)
    inner = np.zeros_like(strength)
    inner[_REACH:-_REACH, _REACH:-_REACH] = strength[_REACH:-_REACH, _REACH:-_REACH]
    strongest = np.argsort(inner, axis=None)[-(inner.size // 50) :]
    y, x = np.unravel_index(np.random.default_rng(0).choice(strongest, 4000), inner.shape)
    steps = np.arange(-_REACH, _REACH + 1)
    rows = np.rint(y[:, None] + steps * (down[y, x] / strength[y, x])[:, None]).astype(int)
    columns = np.rint(x[:, None] + steps * (across[y, x] / strength[y, x])[:, None]).astype(int)
    profile = more[rows, columns].mean(axis=0)
    far = np.where(steps < 0, profile[steps < -_FAR].mean(), profile[steps > _FAR].mean())
    over = np.abs(profile - far)[np.abs(steps) >= _CONTOUR]
    return float(over.max()), int((over > 1).sum())


def color_error(result: Pixels, source: Pixels) -> float:
    """Mean CIE76 delta E of the blurred images."""
    apart = rgb_to_lab(gaussian(result, 8.0)) - rgb_to_lab(gaussian(source, 8.0))
    return float(np.sqrt(np.square(apart).sum(axis=2)).mean())


def energy(plane: Plane) -> float:
    """Mean squared gradient."""
    return float(np.square(np.diff(plane, axis=0)).mean() + np.square(np.diff(plane, axis=1)).mean())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for all images")
    options = parser.parse_args()
    print("| image | stand-in | lock | halo L | halo px | color error | detail |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in options.images:
        image = Image.open(path).convert("RGB")
        image = image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)
        source = np.asarray(image, dtype=np.float32) / np.float32(255)
        for name, change in STAND_INS.items():
            redrawn = np.asarray(np.clip(change(source), 0, 1), dtype=np.float32)
            for lock in ColorLock:
                result = np.clip(match_low_frequencies(redrawn, source, lock), 0, 1)
                height, width = halo(result, source)
                kept = energy(luma(result)) / energy(luma(redrawn))
                error = color_error(result, source)
                print(
                    f"| {path.stem} | {name} | {lock.value} | {height:.2f} | {width} | {error:.2f} | {kept:.2f} |",
                    flush=True,
                )
                if options.keep is not None:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(np.rint(result * 255).astype(np.uint8)).save(
                        options.keep / f"{path.stem}-{name}-{lock.value}.png"
                    )


if __name__ == "__main__":
    main()
