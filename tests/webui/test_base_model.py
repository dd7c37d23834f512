"""What a Stable Diffusion checkpoint asks of sizes, told from its file; and that tiles of both methods keep to it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_upscale.image.geometry import Size
from lib_upscale.redrawing import plan_redraw
from lib_upscale.settings.redraw import RedrawMethod, RedrawSettings
from lib_upscale.webui.host import base_model, environment
from lib_upscale.webui.sd_upscale import job

UNET = "model.diffusion_model."
FILES: dict[str, tuple[dict[str, tuple[int, ...]] | bytes, tuple[int, int]]] = {
    "sd1": ({f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 768)}, (512, 8)),
    "sd2": ({f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 1024)}, (768, 8)),
    "sdxl": ({f"{UNET}label_emb.0.0.weight": (8, 2816), "conditioner.x": (1,)}, (1024, 8)),
    "sdxl-unet": (
        {
            "time_embedding.linear_1.weight": (8, 8),
            "down_blocks.0.x": (1,),
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (8, 2048),
        },
        (1024, 8),
    ),
    "sd3": ({f"{UNET}joint_blocks.0.x": (1,)}, (1024, 16)),
    "flux": ({"double_blocks.0.img_attn.qkv.weight": (1,)}, (1024, 16)),
    "qwen": ({"transformer_blocks.0.img_mod.1.weight": (1,)}, (1024, 16)),
    "gguf": (b"GGUF" + bytes(60), (1024, 16)),
}


@pytest.mark.parametrize("name", FILES)
def test_sides_are_told_from_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, expected = FILES[name]
    path = tmp_path / f"{name}.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file({key: torch.zeros(shape, dtype=torch.float16) for key, shape in content.items()}, path)
    monkeypatch.setattr(base_model, "_path", lambda _: path)
    assert base_model.sides_of() == expected


def test_a_folder_of_diffusers_is_taken_for_a_newer_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "_path", lambda _: tmp_path)
    assert base_model.sides_of().native == 1024


def test_a_checkpoint_is_found_by_part_of_its_name_as_the_host_does(monkeypatch: pytest.MonkeyPatch) -> None:
    first, wanted = SimpleNamespace(name="a.ckpt"), SimpleNamespace(name="juggernaut_x.safetensors")
    sd_models: Any = SimpleNamespace(
        checkpoints_list={"a": first, "b": wanted},
        checkpoint_aliases={},
        get_closet_checkpoint_match=lambda text: wanted if text in wanted.name else None,
    )
    monkeypatch.setitem(sys.modules, "modules", SimpleNamespace(sd_models=sd_models))
    assert base_model.selected_name("juggernaut") == wanted.name


@pytest.mark.parametrize("method", RedrawMethod)
@pytest.mark.parametrize("size", [Size(1000, 1592), Size(328, 2056), Size(1016, 1016)])
@pytest.mark.parametrize("tile", [None, 328])
def test_tiles_keep_to_the_multiple(method: RedrawMethod, size: Size, tile: int | None) -> None:
    settings = RedrawSettings(method=method, tile=tile, scale=1.0)
    step = plan_redraw(size, settings, native=1024, multiple=16, strength=0.4).passes[-1]
    sides = [*step.grid.tile]
    if step.joint is not None:
        sides += [min(side, whole // 8) * 8 for side, whole in zip(step.joint.tile, step.grid.tile, strict=True)]
    assert all(side % 16 == 0 for side in sides)


def test_the_size_in_the_text_is_the_results_where_the_host_cuts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTOMATIC1111 cuts sizes to multiples of 16 for Stable Diffusion 3 before it encodes."""
    monkeypatch.setattr(job, "loaded_model", lambda: SimpleNamespace())
    monkeypatch.setattr(environment, "option", lambda key, default: default)
    p: Any = SimpleNamespace(width=992, height=1584, extra_generation_params={}, denoising_strength=0.4)
    redraw_job = object.__new__(job.RedrawJob)
    redraw_job._p = p
    settings = RedrawSettings(scale=2.0)
    redraw_job.plan = plan_redraw(Size(500, 796), settings, native=1024, multiple=16, strength=0.4)
    redraw_job.init(["a cat"], [1], [2])
    assert (p.width, p.height) == (1000, 1592)
