"""What a real WebUI offers, what it keeps, and that nothing stays behind."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from tests.webui.models import NEAREST, compact
from tests.webui.server import Page, WebUI, as_base64, from_base64

pytestmark = pytest.mark.webui

SCALES = {NEAREST: 2, "SwinIR_in_ESRGAN": 2, "3x_Nearest": 3, "4x_Nearest": 4, "1x_Clean": 1, "2x_Loose": 2}


def test_all_models_are_offered_once_with_their_true_scale(webui: WebUI) -> None:
    found = webui.upscalers()
    assert {name: found[name]["scale"] for name in SCALES} == SCALES


def test_what_the_host_lists_keeps_its_place_and_ours_follow(webui: WebUI) -> None:
    names = list(webui.upscalers())
    assert names[0] == "None"
    host_listed = names.index(NEAREST)
    assert names.index("LDSR") < names.index("4x_Nearest") if "LDSR" in names else True
    assert host_listed < names.index("4x_Nearest")
    assert names.index("SwinIR_in_ESRGAN") < names.index("4x_Nearest")


def test_what_is_no_upscaler_is_not_added(webui: WebUI) -> None:
    kinds = {item["file"]: item for item in webui.call("/upscale-plus/v1/models")[1]}
    assert kinds["other_lora.safetensors"]["usable"] is False
    assert "models/Lora" in kinds["other_lora.safetensors"]["problem"]


def test_a_file_copied_into_a_folder_is_usable_without_a_restart(webui: WebUI) -> None:
    import torch

    before = list(webui.upscalers())
    new = webui.data / "models" / "DAT" / "2x_Later.pth"
    torch.save(compact(2), new)
    try:
        status, _ = webui.call("/upscale-plus/v1/refresh", {})
        assert status == 200
        after = list(webui.upscalers())
        assert after[: len(before)] == before
        assert after[len(before) :] == ["2x_Later"]
    finally:
        new.unlink()


def test_the_refresh_button_fills_the_lists_of_the_page(webui: WebUI) -> None:
    page = Page(webui)
    new = webui.data / "models" / "ESRGAN" / "2x_Button.pth"
    shutil.copy(webui.data / "models" / "ESRGAN" / f"{NEAREST}.pth", new)
    try:
        answer = page.press("upscale_plus_extras_refresh")
    finally:
        new.unlink()
    assert "2x_Button \N{MIDDLE DOT} RealESRGAN Compact 2x" in json.dumps(answer[0], ensure_ascii=False)
    assert "2x_Button" in webui.upscalers()
    lists = dict(zip(page.outputs_of("upscale_plus_extras_refresh"), answer, strict=True))
    others = ("extras_upscaler_1", "extras_upscaler_2", "txt2img_hr_upscaler", "upscale_plus_redraw_upscaler")
    for elem_id in others:
        assert "2x_Button" in json.dumps(lists[elem_id]), elem_id
    assert "Latent" in json.dumps(lists["txt2img_hr_upscaler"])


def test_our_models_are_in_the_lists_of_the_page(webui: WebUI) -> None:
    page = Page(webui)
    for elem_id in ("extras_upscaler_1", "txt2img_hr_upscaler", "setting_upscaler_for_img2img"):
        choices = json.dumps(page.component(elem_id)["props"]["choices"])
        for name in SCALES:
            assert name in choices, (elem_id, name)


def test_taking_over_can_be_turned_off_and_on_without_a_restart(webui: WebUI) -> None:
    webui.call("/upscale-plus/v1/refresh", {})  # files that other tests took away again are forgotten
    before = webui.upscalers()
    try:
        assert webui.call("/sdapi/v1/options", {"upscale_plus_take_over": False})[0] == 200
        off = webui.upscalers()
        assert list(off) == list(before)
        assert off["SwinIR_in_ESRGAN"]["scale"] == 4, "the host's own entry assumes 4"
    finally:
        webui.call("/sdapi/v1/options", {"upscale_plus_take_over": True})
    assert webui.upscalers() == before


def test_reloading_ten_times_leaves_one_of_everything(webui: WebUI) -> None:
    webui.reload()  # files that other tests took away again are forgotten
    before = webui.upscalers()
    paths = webui.call("/openapi.json")[1]["paths"]
    mark = len(webui.log())
    for _ in range(10):
        webui.reload()
    assert webui.upscalers() == before
    assert webui.call("/openapi.json")[1]["paths"].keys() == paths.keys()
    ids = ids_of(webui)
    assert ids.count("upscale_plus_extras_model") == 1
    assert ids.count("setting_upscale_plus_take_over") == 1
    said = webui.log()[mark:]
    assert "lib_upscale" not in said, "something of ours failed"
    assert "Upscale Plus" not in said


def test_the_host_s_settings_can_switch_the_accordion_off(webui: WebUI) -> None:
    try:
        webui.call("/sdapi/v1/options", {"postprocessing_disable_in_extras": ["Upscale plus"]})
        webui.reload()
        assert "upscale_plus_extras" not in ids_of(webui)
        image = as_base64(Image.new("RGB", (20, 12)))
        status, answer = webui.call(
            "/sdapi/v1/extra-single-image", {"image": image, "upscaling_resize": 2, "upscaler_1": NEAREST}
        )
        assert status == 200, answer
        assert from_base64(answer["image"]).size == (40, 24)
    finally:
        webui.call("/sdapi/v1/options", {"postprocessing_disable_in_extras": []})
        webui.reload()
    assert "upscale_plus_extras_model" in ids_of(webui)


def test_the_host_s_settings_can_put_the_accordion_into_the_other_tabs(webui: WebUI) -> None:
    try:
        webui.call("/sdapi/v1/options", {"postprocessing_enable_in_main_ui": ["Upscale plus"]})
        webui.reload()
        ids = [name for name in ids_of(webui) if name.startswith("upscale_plus")]
        assert sorted(set(ids)) == sorted(ids)
        assert len([name for name in ids if name.endswith("_target_kind")]) == 3, "Extras, txt2img, img2img"
        answer = Page(webui).press("upscale_plus_extras_tab1_refresh")
        assert NEAREST in json.dumps(answer)
        if webui.has_checkpoint:
            values = {"enabled": True, "model": NEAREST, "target_kind": "Factor", "preset": "None", "scale": 2}
            for model, size in ((NEAREST, (128, 128)), ("detail_lora", (64, 64))):
                status, made = webui.call("/sdapi/v1/txt2img", generation({**values, "model": model}))
                assert status == 200, made
                assert from_base64(made["images"][0]).size == size
                assert ("Upscale Plus upscaler: 2x_Nearest" in made["info"]) == (model == NEAREST)
            assert "move it to models/Lora" in webui.log()[-4000:]
    finally:
        webui.call("/sdapi/v1/options", {"postprocessing_enable_in_main_ui": []})
        webui.reload()


def generation(values: dict[str, object]) -> dict[str, object]:
    """One picture in one step, with the accordion's first values set."""
    names = ("enabled", "model", "target_kind", "scale")
    scripts = {"upscale plus": {"args": [values[name] for name in names]}}
    return {"prompt": "x", "steps": 1, "width": 64, "height": 64, "alwayson_scripts": scripts}


def test_disabling_the_extension_leaves_nothing_behind(webui: WebUI) -> None:
    webui.reload()  # files that other tests took away again are forgotten
    before = webui.upscalers()
    try:
        webui.call("/sdapi/v1/options", {"disabled_extensions": ["upscale-plus"]})
        webui.reload()
        without = webui.upscalers()
        assert without["SwinIR_in_ESRGAN"]["scale"] == 4, "the host's own entry assumes 4"
        assert "4x_Nearest" not in without
        assert not [path for path in webui.call("/openapi.json")[1]["paths"] if "upscale-plus" in path]
        assert "upscale_plus" not in json.dumps(webui.call("/config")[1]["layout"])
        assert not [name for name in ids_of(webui) if name.startswith(("upscale_plus", "setting_upscale_plus"))]
    finally:
        webui.call("/sdapi/v1/options", {"disabled_extensions": []})
        webui.reload()
    assert webui.upscalers() == before


def ids_of(webui: WebUI) -> list[str]:
    found = (component["props"].get("elem_id") for component in webui.call("/config")[1]["components"])
    return [name for name in found if name]
