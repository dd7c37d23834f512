"""A real WebUI with ControlNet, in which the extension `recorder` keeps what reaches the models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.webui.conftest import given_data, real_webui
from tests.webui.models import place_models
from tests.webui.server import WebUI, as_base64, from_base64

Array = NDArray[Any]

FOLDERS = ("models/Stable-diffusion", "models/ControlNet", "models/Lora", "models/VAE-approx", "embeddings")
SETTINGS: dict[str, Any] = {
    "prompt": "a photo",
    "steps": 2,
    "denoising_strength": 0.6,
    "sampler_name": "Euler a",
    "seed": 5,
}


def controlnet() -> Path | None:
    """The checkout of sd-webui-controlnet to link, or a skip; the Forge family has a ControlNet of its own."""
    code, _ = real_webui()
    if (code / "extensions-builtin" / "sd_forge_controlnet").is_dir():
        return None
    given = os.environ.get("SD_WEBUI_CONTROLNET")
    if not given or not (Path(given) / "scripts" / "controlnet.py").is_file():
        pytest.skip("no ControlNet: set SD_WEBUI_CONTROLNET to a checkout of sd-webui-controlnet")
    return Path(given).resolve()


@contextmanager
def recording_webui(folder: Path) -> Iterator[Recorder]:
    """Such a WebUI with the data in `folder`, or a skip that says what is missing."""
    code, python = real_webui()
    given = given_data()
    place_models(folder / "models")
    extensions = {"watcher": Path(__file__).parent / "recorder", "sd-webui-controlnet": controlnet()}
    (folder / "extensions").mkdir()
    for name, source in extensions.items():
        if source is not None:
            (folder / "extensions" / name).symlink_to(source, target_is_directory=True)
    for name in FOLDERS:
        if (given / name).is_dir():
            (folder / name).symlink_to((given / name).resolve(), target_is_directory=True)
    server = WebUI(code, python, folder, given)
    try:
        server.start()
        yield Recorder(server)
    finally:
        server.stop()


class Recorder:
    """Generations in such a WebUI, each with what was recorded of it."""

    def __init__(self, webui: WebUI) -> None:
        self.webui = webui
        titles = [entry["title"] for entry in webui.call("/sdapi/v1/sd-models")[1]]
        self._checkpoints = {Path(title.partition(" ")[0]).stem: title for title in titles}
        models = webui.call("/controlnet/model_list")[1]["model_list"]
        self._models = {name.partition(" ")[0]: name for name in models}
        modules = webui.call("/controlnet/module_list")[1]["module_list"]
        self._none = next(name for name in modules if name.lower() == "none")
        """What the host calls the preprocessor that does nothing."""
        self.checkpoint = "narrow"

    @property
    def has_builtin_controlnet(self) -> bool:
        """Whether the ControlNet is the Forge family's, which is asked once for a whole latent."""
        return (self.webui.code / "extensions-builtin" / "sd_forge_controlnet").is_dir()

    def unit(self, **values: Any) -> dict[str, Any]:
        """A unit of ControlNet's API that is switched on, images as base64, or a skip where the model is missing."""
        name = values.pop("model", "control_narrow_tile")
        if name not in (*self._models, "None"):
            pytest.skip(f"no {name} in models/ControlNet of SD_WEBUI_DATA")
        given = {key: as_base64(value) if isinstance(value, Image.Image) else value for key, value in values.items()}
        return {"module": self._none, "model": self._models.get(name, "None"), "enabled": True, **given}

    def img2img(self, image: Image.Image, *units: Any, **values: Any) -> list[Array]:
        """The host's own img2img, of the image's size."""
        sizes = {"width": image.width, "height": image.height}
        return self._images("/sdapi/v1/img2img", {"init_images": [as_base64(image)], **sizes}, units, values)

    def redraw(self, image: Image.Image, *units: Any, scripts: Any = None, **values: Any) -> list[Array]:
        """The script, twice as large, in tiles of 128; `scripts` are the arguments of others."""
        usual = {"upscaler": "Lanczos", "scale": 2.0, "tile": 128, "overlap": 32, "color_lock": "off", "resume": False}
        return self._images("/upscale-plus/v1/redraw", {"image": as_base64(image), **usual}, units, values, scripts)

    def hires(self, *units: Any, section: dict[str, Any] | None = None, **values: Any) -> list[Array]:
        """txt2img with hires fix from 128x128 to 256x256, the second pass with ours where there is a `section`."""
        usual = {"width": 128, "height": 128, "enable_hr": True, "hr_scale": 2.0, "hr_upscaler": "Lanczos"}
        more = {} if section is None else {"hires fix plus": {"args": [{"tile": 128, "overlap": 32, **section}]}}
        return self._images("/sdapi/v1/txt2img", {**usual, "hr_additional_modules": []}, units, values, more)

    def ask(self, path: str, body: dict[str, Any], units: Any = (), scripts: Any = None) -> tuple[int, Any]:
        """(status, answer) of a request, with all that a generation needs."""
        title = self._checkpoints.get(self.checkpoint)
        if title is None:
            pytest.skip(f"no checkpoint {self.checkpoint} in SD_WEBUI_DATA")
        named = {**({"controlnet": {"args": list(units)}} if units else {}), **(scripts or {})}
        whole = {**SETTINGS, **body, "alwayson_scripts": named}
        whole["override_settings"] = {"sd_model_checkpoint": title, **body.get("override_settings", {})}
        return self.webui.call(path, whole)

    def _images(self, path: str, usual: Any, units: Any, values: Any, scripts: Any = None) -> list[Array]:
        self.take()
        status, answer = self.ask(path, {**usual, **values}, units, scripts)
        assert status == 200, answer
        self.answer = answer
        return [np.asarray(from_base64(image).convert("RGB"), dtype=np.int64) for image in answer["images"]]

    def take(self, kind: str = "") -> list[dict[str, Any]]:
        """What was recorded since it was last asked, call by call; those of one kind alone where it is named."""
        status, calls = self.webui.call("/recorder/take", {})
        assert status == 200, calls
        with np.load(self.webui.data / "recorded.npz") as arrays:
            for name in arrays.files:
                number, _, key = name.partition("/")
                calls[int(number)][key] = arrays[name]
        return [call for call in calls if kind in ("", call["kind"])]

    def hints(self, kind: str = "control") -> list[Array]:
        """The hints that were recorded, channels first, one after the other; the same again is left out."""
        found: list[Array] = []
        for call in self.take(kind):
            hint = call["hint"][0]
            if not found or not np.array_equal(found[-1], hint):
                found.append(hint)
        return found


def place_of(part: Array, whole: Array) -> tuple[int, int] | None:
    """Where, at multiples of 8 pixels, a part lies in a whole of the same channels to the bit; None: nowhere."""
    height, width = part.shape[-2:]
    for y in range(0, whole.shape[-2] - height + 1, 8):
        for x in range(0, whole.shape[-1] - width + 1, 8):
            if np.array_equal(whole[..., y : y + height, x : x + width], part):
                return x, y
    return None
