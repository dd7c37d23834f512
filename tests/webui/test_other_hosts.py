"""What other hosts do differently, by objects that behave as their sources say."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_upscale.image.geometry import Size
from lib_upscale.webui.hires_fix import joint, second_pass, tiles
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.host import console, environment, extra_networks, model, sampling
from lib_upscale.webui.tiled_sampling import tiled_vae
from lib_upscale.webui.upscalers import hires_check, settings_page


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"hr_additional_modules": None}, ["Use same choices"]),
        ({"hr_additional_modules": ["vae"]}, ["vae"]),
        ({"hr_additional_modules": []}, []),
        ({"hr_additional_modules": None, "enable_hr": False}, None),
        ({}, None),
    ],
)
def test_forge_is_given_the_modules_that_the_api_left_out(values: dict[str, Any], expected: Any) -> None:
    p: Any = SimpleNamespace(**{"enable_hr": True, **values})
    hires_check.complete_modules(p)
    assert getattr(p, "hr_additional_modules", None) == expected
    assert hasattr(p, "hr_additional_modules") == ("hr_additional_modules" in values)


class ForgeModel:
    """Makes room for the latent before it calls the encoder, as Forge's VAE does."""

    def encode_first_stage(self, images: Tensor) -> Tensor:
        latent = torch.empty(len(images), 3, images.shape[2] // 8, images.shape[3] // 8)
        latent[:] = torch.nn.functional.avg_pool2d(images, 8, ceil_mode=True)
        return latent


class ReforgeModel:
    """Cuts images to multiples of 8 before it calls the encoder, as reForge's VAE does."""

    def encode_first_stage(self, images: Tensor) -> Tensor:
        height, width = (side // 8 * 8 for side in images.shape[2:])
        return torch.nn.functional.avg_pool2d(images[:, :, :height, :width], 8)


@pytest.mark.parametrize("kind", [ForgeModel, ReforgeModel])
@pytest.mark.parametrize("side", [217, 216])
@pytest.mark.parametrize("taesd", [False, True])
@pytest.mark.parametrize("multiple", [8, 16])
def test_images_are_filled_up_before_the_host_measures_them(
    kind: type, side: int, taesd: bool, multiple: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers take multiples of 16."""
    model, small = kind(), ReforgeModel()

    def images_tensor_to_samples(image: Tensor, approximation: object = None, model: Any = None) -> Tensor:
        return (small if taesd else model).encode_first_stage(image)

    processing = SimpleNamespace(images_tensor_to_samples=images_tensor_to_samples)
    monkeypatch.setattr(joint, "encoding_module", lambda: processing)
    p: Any = SimpleNamespace(sd_model=model, latent_scale_mode=None)
    image = torch.rand(1, 3, side, 200)
    with joint._padded(p, HiresSize(Size(200, side), Size(200, side), multiple=multiple)):
        latent = processing.images_tensor_to_samples(image, None, model)
        assert model.encode_first_stage(image).shape[2:] == latent.shape[2:], "an inpainting model's second encoding"
    assert tuple(latent.shape[2:]) == {8: (-(-side // 8), 25), 16: (28, 26)}[multiple]
    assert torch.allclose(latent[:, :, :27, :25], torch.nn.functional.avg_pool2d(image[:, :, :216], 8))
    assert "encode_first_stage" not in vars(model)
    assert processing.images_tensor_to_samples is images_tensor_to_samples


def test_another_size_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    comments: list[str] = []
    monkeypatch.setattr(console, "warn", lambda text: None)
    p: Any = SimpleNamespace(comment=comments.append)
    size = HiresSize(Size(217, 217), Size(217, 217))
    for side in (217, 224):
        assert second_pass._crop(p, torch.rand(3, side, side), size).shape == (3, 217, 217)
    assert not comments
    assert second_pass._crop(p, torch.rand(3, 216, 216), size).shape == (3, 216, 216)
    assert comments == ["The WebUI has made an image of 216x216 instead of 217x217."]


@pytest.mark.parametrize(("hires", "expected"), [(0.0, 7.0), (4.0, 4.0)])
def test_a_hires_cfg_of_none_is_the_first_passs(hires: float, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"token_merging_ratio_img2img": 0.5}
    image: Any = SimpleNamespace(
        fill_fields_from_opts=lambda: None,
        token_merging_ratio=0,
        get_token_merging_ratio=lambda for_hr=False: settings["token_merging_ratio_img2img"],
    )
    monkeypatch.setattr(tiles, "new_img2img", lambda p: image)
    p: Any = SimpleNamespace(
        hr_cfg=hires,
        cfg_scale=7.0,
        scripts_value=None,
        script_args_value=None,
        hr_second_pass_steps=0,
        steps=4,
        hr_sampler_name=None,
        sampler_name="Euler",
        get_token_merging_ratio=lambda for_hr: 0.0,
    )
    made = tiles._img2img(p, "x")
    assert made.cfg_scale == expected  # type: ignore[attr-defined]
    assert made.get_token_merging_ratio() == 0, "the second pass's, not img2img's own"


def test_the_empty_prompt_is_encoded_where_the_model_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = torch.rand(1, 77, 8)
    monkeypatch.setattr(sampling, "encode_prompt", lambda prompt, *_: {"": encoded}[prompt])
    for conditioning in (encoded, {"crossattn": encoded, "vector": torch.rand(1, 5)}):
        monkeypatch.setattr(sampling, "prompt_at", lambda schedule, step, value=conditioning: value)
        monkeypatch.setattr(sampling, "loaded_model", lambda: SimpleNamespace())
        assert torch.equal(sampling.empty_prompt(), encoded[0])
    kept = torch.rand(77, 8)
    monkeypatch.setattr(sampling, "loaded_model", lambda: SimpleNamespace(cond_stage_model_empty_prompt=kept))
    assert torch.equal(sampling.empty_prompt(), kept)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_console_lacks_end_nothing(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, newline="\n"))
    console.say("写真.png failed")
    assert written.getvalue() == b"Upscale Plus: ??.png failed\n"


def test_a_folder_of_nobody_hides_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_page, "_value", lambda key: "~nobody-of-that-name/models\n/there")
    assert settings_page.folders() == [Path("~nobody-of-that-name/models"), Path("/there")]


@pytest.mark.parametrize("host", [SimpleNamespace(hide_dirs={"visible": False}), SimpleNamespace()])
def test_folders_are_hidden_where_the_host_hides_its_own(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modules", SimpleNamespace(shared=host))  # type: ignore[misc]
    assert environment.hidden_folders() == getattr(host, "hide_dirs", {})


def test_what_killed_runs_have_left_is_removed(tmp_path: Path) -> None:
    for name, hours in (("vae-old", 7), ("vae-new", 1), ("other", 100)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "1.band").write_bytes(b"x")
        then = time.time() - hours * 3600
        os.utime(folder, (then, then))
    tiled_vae._sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"vae-new", "other"}


SD_NEXT = {
    "processing": "class StableDiffusionProcessingTxt2Img:\n    pass\n",
    "postprocessing": "def run_postprocessing():\n    pass\n",
    "script_callbacks": "def __getattr__(name):\n    raise AssertionError(f'{name}: something was hooked')\n",
    "scripts": "class Script:\n    pass\n",
    "scripts_postprocessing": "class ScriptPostprocessing:\n    pass\n",
}
"""Of its modules what the scripts would meet; `rng`, `errors.report` and `postprocessing.scripts` are missing there."""


@pytest.mark.slow
def test_a_host_that_lacks_what_is_needed_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    for name, text in {"__init__": "", **SD_NEXT}.items():
        (tmp_path / "modules" / f"{name}.py").write_text(text)
    root = Path(__file__).parents[2]
    code = f"""
import argparse, runpy, sys
import modules
sys.path.append({str(root)!r})
before = list(sys.path)
runpy.run_path({str(root / "preload.py")!r})["preload"](argparse.ArgumentParser())
assert sys.path == before
for name in ("hires_fix_plus", "postprocessing_upscale_plus", "sd_upscale_plus", "upscale_plus"):
    made = runpy.run_path({str(root / "scripts")!r} + f"/{{name}}.py")
    assert not [value for value in made.values() if isinstance(value, type) and value.__module__ == "<run_path>"]
"""
    path = os.pathsep.join([str(tmp_path), *(os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "not supported" in done.stdout
    assert not done.stderr


class ForgeHost:
    """What Forge's `process_images` asks before every generation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.first: dict[str, Any] = {"checkpoint_info": "first", "additional_modules": ["/m/vae.pt"], "dtype": None}
        self.data = SimpleNamespace(forge_loading_parameters=self.first)
        self.processing = SimpleNamespace(need_global_unload=True)
        sd_models = SimpleNamespace(model_data=self.data)
        entry = SimpleNamespace(module_list={"vae.pt": "/m/vae.pt", "t5.safetensors": "/m/t5.safetensors"})
        for name, module in {
            "modules": SimpleNamespace(processing=self.processing, sd_models=sd_models),
            "modules_forge": SimpleNamespace(main_entry=entry),
            "modules_forge.main_entry": entry,
        }.items():
            monkeypatch.setitem(sys.modules, name, module)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("checkpoint", "modules", "changed"),
    [
        (None, ["Use same choices"], {}),
        (None, None, {}),
        ("second", ["Use same choices"], {"checkpoint_info": "second"}),
        ("second", [], {"checkpoint_info": "second", "additional_modules": []}),
        (None, ["vae.pt"], {}),
        (None, ["t5.safetensors", "/elsewhere/vae.pt"], {"additional_modules": ["/m/t5.safetensors", "/m/vae.pt"]}),
    ],
)
def test_forges_tiles_find_the_model_of_the_second_pass(
    checkpoint: Any, modules: Any, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ForgeHost(monkeypatch)
    p: Any = SimpleNamespace(hr_checkpoint_info=checkpoint, hr_additional_modules=modules)
    with model.second_model_is_chosen(p):
        assert str(host.data.forge_loading_parameters) == str({**host.first, **changed}), "it compares them as text"
        assert not host.processing.need_global_unload
    assert host.data.forge_loading_parameters is host.first
    assert host.processing.need_global_unload


def test_the_forge_family_reserves_memory_for_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def required(input_shape: Any, cond_shapes: Any = None) -> float:
        asked.append(tuple(input_shape))
        return float(torch.Size(input_shape).numel())

    unet: Any = SimpleNamespace(model=SimpleNamespace(memory_required=required))
    with model.unet_reserves(unet, Size(64, 48), 3):
        for shape in ((2, 4, 512, 384), (2, 4, 48, 40), (1, 16, 1, 512, 20)):
            unet.model.memory_required(input_shape=shape, cond_shapes={})
    assert asked == [(6, 4, 48, 64), (2, 4, 48, 40), (3, 16, 1, 48, 20)]
    assert unet.model.memory_required is required
    vae = SimpleNamespace(memory_used_encode=required, memory_used_decode=required)
    loaded = SimpleNamespace(forge_objects=SimpleNamespace(vae=vae))
    monkeypatch.setattr(model, "loaded_model", lambda: loaded)
    asked.clear()
    with model.vae_reserves(256):
        vae.memory_used_encode((1, 3, 4096, 100), None)
        vae.memory_used_decode((1, 4, 512, 512), None)
    assert asked == [(1, 3, 256, 100), (1, 4, 32, 32)]
    assert vae.memory_used_decode is required


def test_a_prompt_that_a_script_changes_for_a_batch_is_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(prompt: str) -> tuple[str, Any]:
        return re.sub(r"<\w+:[^>]+>", "", prompt), None

    modules = SimpleNamespace(extra_networks=SimpleNamespace(parse_prompt=parse))
    monkeypatch.setitem(sys.modules, "modules", modules)  # type: ignore[misc]
    networks = {"lora": [SimpleNamespace(items=["detail", "0.5"])]}
    whole = "a <lora:detail:0.5> dog"
    p: Any = SimpleNamespace(
        all_prompts=["x", whole],
        iteration=1,
        batch_size=1,
        prompts=["a  dog"],
        extra_network_data=networks,
        all_hr_prompts=["x", whole],
        hr_prompts=["a  dog"],
        hr_extra_network_data=networks,
    )
    assert extra_networks.image_prompt(p) == extra_networks.second_prompt(p, 0) == whole
    p.prompts, p.hr_prompts = ["a cat"], ["a bird"]
    assert extra_networks.image_prompt(p) == "a cat<lora:detail:0.5>"
    assert extra_networks.second_prompt(p, 0) == "a bird<lora:detail:0.5>"
    p.prompts = None
    assert extra_networks.image_prompt(p) == whole


@pytest.mark.parametrize(
    ("second_pass", "expected"),
    [({}, (12, None)), ({"is_hr_pass": False}, (12, None)), ({"is_hr_pass": True}, (12, 4))],
)
def test_prompts_change_by_the_steps_that_the_host_counts(
    second_pass: dict[str, Any], expected: tuple[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heun's steps are two each; the host's `calculate_hr_conds` names the steps of both passes."""
    asked: list[tuple[Any, ...]] = []
    modules = SimpleNamespace(
        sd_samplers=SimpleNamespace(
            find_sampler_config=lambda name: SimpleNamespace(total_steps=lambda steps: steps * (1 + (name == "Heun")))
        ),
        prompt_parser=SimpleNamespace(
            SdConditioning=lambda prompts, **named: (prompts, named),
            get_learned_conditioning=lambda model, *arguments: asked.append(arguments),
        ),
        devices=SimpleNamespace(autocast=contextlib.nullcontext),
    )
    monkeypatch.setitem(sys.modules, "modules", modules)  # type: ignore[misc]
    monkeypatch.setattr(sampling, "loaded_model", lambda: None)
    monkeypatch.setattr(environment, "option", lambda key, default: key == "use_old_scheduling")
    p: Any = SimpleNamespace(
        sampler_name="Heun", steps=6, hr_sampler_name="Euler", hr_second_pass_steps=4, **second_pass
    )
    assert sampling.prompt_steps(p) == expected
    sampling.encode_prompt("a [b:c:1.5]", Size(512, 256), sampling.prompt_steps(p))
    ((prompts, steps, hires_steps, is_old),) = asked
    assert prompts == (["a [b:c:1.5]"], {"width": 512, "height": 256, "is_negative_prompt": False})
    assert ((steps, hires_steps), is_old) == (expected, True)


@pytest.mark.parametrize("is_forge", [False, True])
def test_seamless_textures_are_off_in_the_second_pass_and_on_again_after_it(
    is_forge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tile would wrap around at its own edges. The host asks for it once, before the first of its batches.

    In the Forge family the other function is there, too, and does nothing.
    """
    wraps: list[bool] = []
    hijack = SimpleNamespace(apply_circular=(lambda _wrap: None) if is_forge else wraps.append)
    forge = {"apply_circular_forge": lambda _model, wrap: wraps.append(wrap)}
    modules = SimpleNamespace(
        processing=SimpleNamespace(**forge if is_forge else {}), sd_hijack=SimpleNamespace(model_hijack=hijack)
    )
    monkeypatch.setitem(sys.modules, "modules", modules)  # type: ignore[misc]
    monkeypatch.setattr(model, "loaded_model", lambda: None)
    said: list[str] = []
    p: Any = SimpleNamespace(tiling=True, comment=said.append)
    with contextlib.suppress(KeyError), model.uncircular(p):
        assert wraps == [False]
        raise KeyError
    assert (wraps, said) == ([False, True], ["Tiling is off in the second pass."])
    p.tiling = False
    with model.uncircular(p):
        assert (len(wraps), len(said)) == (2, 1)
    assert len(wraps) == 2
