"""What the adapters promise where hosts and files differ from the usual; run like in_process_checks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from modules import postprocessing, shared
from PIL import Image

from lib_upscale.webui.host.patching import replaced
from lib_upscale.webui.upscalers import engine, registry
from tests.webui.in_process_checks import entry, extras_arguments, picture
from tests.webui.models import NEAREST


def check_every_family_of_the_host_is_taken_over_and_its_folder_searched(data: Path) -> None:
    from modules.upscaler import Upscaler, UpscalerData

    folder = data / "elsewhere"
    folder.mkdir(exist_ok=True)
    file = folder / "2x_Compact.pth"
    shutil.copy(data / "models" / "ESRGAN" / f"{NEAREST}.pth", file)
    before = list(shared.sd_upscalers)
    for module, taken in (("modules.compact_model", True), ("scripts.somebody", False)):
        kind = type("UpscalerCOMPACT", (Upscaler,), {"__module__": module, "name": "COMPACT", "scalers": []})
        scaler = kind()
        scaler.model_path = str(folder)
        try:
            shared.sd_upscalers.append(UpscalerData("2x_Compact", str(file), scaler, 4))
            registry.refresh()
            assert isinstance(entry("2x_Compact").scaler, registry.Scaler) is taken, module
            assert entry("2x_Compact").scale == (2 if taken else 4)
            listed = [model.path for model in engine.model_list.upscalers()]
            assert (file in listed) is taken, "the API lists what is in the folder"
        finally:
            shared.sd_upscalers[:] = before
            registry.refresh()


def check_making_smaller_runs_no_network(_: Path) -> None:
    image = picture(40, 24)

    def fail(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a network was run")

    with replaced(engine.engine, "run", fail):
        smaller = entry(NEAREST).scaler.upscale(image, 0.5, entry(NEAREST).data_path)
    assert np.array_equal(smaller, image.resize((20, 12), Image.Resampling.LANCZOS))
    runs: list[Any] = []
    original = engine.engine.run
    with replaced(engine.engine, "run", lambda *arguments: runs.append(arguments) or original(*arguments)):
        assert entry("1x_Clean").scaler.upscale(image, 0.5).size == (20, 12)
        assert entry(NEAREST).scaler.upscale(image, 1).size == (40, 24), "as the host, which runs it at 1"
    assert len(runs) == 2


def check_damaged_exif_ends_no_batch(data: Path) -> None:
    folder = data / "exif"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "x" * 40
    for number, text in enumerate((exif.tobytes(), exif.tobytes()[:22], exif.tobytes())):
        picture(seed=number).save(folder / f"{number}.jpg", exif=text)
    pictures, text, *_rest = postprocessing.run_postprocessing(
        2, None, None, str(folder), str(data / "exif-out"), True, *extras_arguments(), save_output=False
    )
    assert len(pictures) == 3, text


def check_a_result_that_cannot_be_saved_ends_no_batch(data: Path) -> None:
    from modules import images as host_images

    def save_image(image: Any, *arguments: Any, **named: Any) -> Any:
        saved.append(named.get("path"))
        if len(saved) == 2:
            raise OSError("No space left on device")
        return original(image, *arguments, **named)

    saved: list[Any] = []
    original = host_images.save_image
    folder, results = data / "unsaved", data / "unsaved-out"
    folder.mkdir()
    for seed in range(3):
        picture(seed=seed).save(folder / f"{seed}.png")
    with replaced(host_images, "save_image", save_image):
        pictures, text, *_rest = postprocessing.run_postprocessing(
            2, None, None, str(folder), str(results), True, *extras_arguments()
        )
    assert len(saved) == len(pictures) == 3
    assert "1 image failed" in text, text
    assert sorted(path.name for path in results.iterdir()) == ["0.png", "2.png"]
    assert "1.png: the result could not be saved (No space left on device)" in text


def check_a_folder_without_images_is_said(data: Path) -> None:
    folder = data / "no-images"
    (folder / "below").mkdir(parents=True)
    for path, text in ((folder / "below", "no images in"), (folder, "only subfolders: choose Include subfolders")):
        answer = postprocessing.run_postprocessing(2, None, None, str(path), "", True, *extras_arguments())
        assert text in answer[1], answer
