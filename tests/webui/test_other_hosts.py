"""What other hosts do differently, by objects that behave as their sources say."""

from __future__ import annotations

import io
import os
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
from lib_upscale.webui.host import console, environment, sampling
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
def test_images_are_filled_up_before_the_host_measures_them(kind: type, side: int) -> None:
    model = kind()
    p: Any = SimpleNamespace(sd_model=model, latent_scale_mode=None)
    image = torch.rand(1, 3, side, 200)
    with joint._padded(p, HiresSize(Size(200, side), Size(200, side))):
        latent = model.encode_first_stage(image)
    assert latent.shape[2:] == (-(-side // 8), 25)
    assert torch.allclose(latent[:, :, :27], torch.nn.functional.avg_pool2d(image[:, :, :216], 8))
    assert "encode_first_stage" not in vars(model)


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
    image: Any = SimpleNamespace(fill_fields_from_opts=lambda: None)
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
    assert tiles._img2img(p, "x").cfg_scale == expected  # type: ignore[attr-defined]


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
