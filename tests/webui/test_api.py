"""The extension's own API in a real WebUI: results, refusals with their reason, and the lock on the door."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.conftest import real_webui
from tests.webui.models import NEAREST, place_models
from tests.webui.server import WebUI, as_base64, from_base64

pytestmark = pytest.mark.webui

UPSCALE = "/upscale-plus/v1/upscale"


def picture(width: int = 20, height: int = 12) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def ask(webui: WebUI, **values: Any) -> tuple[int, Any]:
    return webui.call(UPSCALE, {"images": [as_base64(picture())], "model": NEAREST, **values})


def test_pictures_come_back_in_order_with_what_was_done(webui: WebUI) -> None:
    images = [picture(20, 12), picture(9, 30)]
    status, answer = ask(webui, images=[as_base64(image) for image in images])
    assert status == 200, answer
    for image, text, info in zip(images, answer["images"], answer["info"], strict=True):
        expected = np.asarray(image).repeat(2, 0).repeat(2, 1)
        assert np.array_equal(np.asarray(from_base64(text)), expected)
        assert (info["width"], info["height"]) == (image.width * 2, image.height * 2)
        assert info["upscaler"] == NEAREST
        assert f"{image.width}x{image.height} -> {image.width * 2}x{image.height * 2}" in info["plan"]


def test_settings_go_by_the_names_of_the_library(webui: WebUI) -> None:
    status, answer = ask(webui, width=50, height=50, fit="pad", padding="#ff0000", before=["1x_Clean"])
    assert status == 200, answer
    result = from_base64(answer["images"][0])
    assert result.size == (50, 50)
    assert result.getpixel((0, 0)) == (255, 0, 0)


def test_data_uris_and_transparency(webui: WebUI) -> None:
    image = picture().convert("RGBA")
    image.putalpha(100)
    status, answer = ask(webui, images=["data:image/png;base64," + as_base64(image)])
    assert status == 200, answer
    assert from_base64(answer["images"][0]).getpixel((3, 3))[3] == 100


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ({"images": ["not base64!"]}, 422, "base64"),
        ({"images": []}, 422, "image"),
        ({"images": [base64.b64encode(b"hello").decode()]}, 422, "not an image"),
        ({"images": [as_base64(picture())[:200]]}, 422, ""),
        ({"model": "no such model"}, 404, "no such model"),
        ({"model": ""}, 404, "did you mean"),
        ({"model": "detail_lora"}, 422, "models/Lora"),
        ({"model": "4x_page"}, 422, "4x_page.pth"),
        ({"model": NEAREST, "nonsense": 1}, 422, "nonsense"),
        ({"scale": -1}, 422, "scale"),
        ({"scale": "many"}, 422, "scale"),
        ({"fit": "sideways"}, 422, "contain"),
        ({"scale": 2, "width": 10}, 422, "target"),
        ({"scale": 64, "tile": 8, "overlap": 8}, 422, "overlap"),
    ],
)
def test_what_can_t_be_done_is_refused_with_the_reason(
    webui: WebUI, values: dict[str, Any], status: int, reason: str
) -> None:
    found, answer = ask(webui, **values)
    assert (found, reason.lower() in json.dumps(answer).lower()) == (status, True), answer


def test_no_path_leads_out_of_the_model_folders(webui: WebUI, tmp_path: Path) -> None:
    outside = tmp_path / "outside.pth"
    shutil.copy(webui.data / "models" / "ESRGAN" / f"{NEAREST}.pth", outside)
    inside = webui.data / "models" / "ESRGAN"
    for path in (str(outside), f"{inside}/../../../../../{outside}", f"../ESRGAN/{NEAREST}.pth", "launch.py"):
        for field in ("model", "second_model"):
            assert ask(webui, **{field: path})[0] == 404, (field, path)
        assert ask(webui, before=[path])[0] == 404, path
        assert webui.call("/upscale-plus/v1/identify", {"file": path})[0] == 404, path


def test_identify_says_what_a_file_is(webui: WebUI) -> None:
    status, swinir = webui.call("/upscale-plus/v1/identify", {"file": "SwinIR_in_ESRGAN.pth"})
    assert (status, swinir["architecture"], swinir["scale"], swinir["usable"]) == (200, "SwinIR", 2, True)
    lora = webui.call("/upscale-plus/v1/identify", {"file": "other_lora.safetensors"})[1]
    assert (lora["kind"], lora["usable"]) == ("lora", False)
    page = webui.call("/upscale-plus/v1/identify", {"file": "4x_page.pth"})[1]
    assert page["kind"] == "damaged"


def test_a_picture_above_the_limit_is_not_unpacked(webui: WebUI) -> None:
    try:
        webui.call("/sdapi/v1/options", {"upscale_plus_limit_megapixels": 1})
        status, answer = ask(webui, images=[as_base64(Image.new("RGB", (1200, 1000)))])
    finally:
        webui.call("/sdapi/v1/options", {"upscale_plus_limit_megapixels": 268})
    assert status == 413, answer
    assert "megapixels" in json.dumps(answer)


def test_the_openapi_page_describes_every_setting(webui: WebUI) -> None:
    from lib_upscale.settings.fields import options
    from lib_upscale.settings.upscale import UpscaleSettings

    schema = webui.call("/openapi.json")[1]
    request = schema["components"]["schemas"]["UpscalePlusRequest"]["properties"]
    assert set(request) == {"images", *options(UpscaleSettings)}
    for name, item in options(UpscaleSettings).items():
        assert item.tip in request[name]["description"]
    assert schema["paths"][UPSCALE]["post"]["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def protected_webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI of its own, with a password on its API."""
    code, python = real_webui()
    data = tmp_path_factory.mktemp("locked")
    place_models(data / "models")
    webui = WebUI(code, python, data, None, ("--api-auth", "mia:secret,bo:two"))
    webui.auth = ("bo", "two")
    try:
        webui.start()
        yield webui
    finally:
        webui.stop()
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.parametrize("path", ["/upscale-plus/v1/models", "/upscale-plus/v1/refresh", UPSCALE])
def test_every_route_asks_for_the_password(protected_webui: WebUI, path: str) -> None:
    body = None if path.endswith("models") else {"images": [as_base64(picture())], "model": NEAREST}
    assert protected_webui.call(path, body)[0] == 200
    for wrong in (("bo", "three"), ("mia", "two"), ("", ""), ("b\xf6", "tw\xf6")):
        assert protected_webui.call(path, body, auth=wrong)[0] == 401, wrong
    protected_webui.auth = None
    try:
        assert protected_webui.call(path, body)[0] == 401
    finally:
        protected_webui.auth = ("bo", "two")
