"""What the joint method gives the host's model for a batch of tiles: rows that are counted, prompts that are whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.latent import JointSettings, LatentTile
from lib_upscale.webui.tiled_sampling.joint import binding, prompts
from lib_upscale.webui.tiled_sampling.joint.binding import JointWork
from lib_upscale.webui.tiled_sampling.joint.conditioning import Side

TILES = (LatentTile(0, Region(0, 0, 8, 8), Size(16, 8)), LatentTile(1, Region(8, 0, 8, 8), Size(16, 8)))


def forge_options(kinds: list[int], images: int) -> dict[str, Any]:
    """What `calc_cond_uncond_batch` of the Forge family says of a batch; 0 is a prompt, 1 a negative one."""
    of_rows = [kind for kind in kinds for _ in range(images)]
    return {
        "cond_or_uncond": kinds[:],
        "sigmas": torch.ones(images),
        "cond_mark": torch.tensor(of_rows),
        "cond_indices": [row for row, kind in enumerate(of_rows) if kind == 0],
        "uncond_indices": [row for row, kind in enumerate(of_rows) if kind == 1],
        "patches": {"kept": ()},
    }


@pytest.mark.parametrize("kinds", [[0, 1], [1, 0], [0]])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_patches_of_forge_find_the_rows_of_all_tiles_of_a_batch(
    kinds: list[int], images: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reference preprocessor and StyleAlign pick rows by their numbers; each text here says what its row is."""
    monkeypatch.setattr(JointWork, "show_step", lambda *_: None)
    seen: list[int] = []

    def apply_model(x: Tensor, sigma: Tensor, *, c_crossattn: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        texts, prompted = c_crossattn[:, 0, 0], transformer_options["cond_indices"]
        negative = transformer_options["uncond_indices"]
        assert sorted(prompted + negative) == list(range(len(x)))
        assert bool((texts[prompted] == 0).all())
        assert bool((texts[negative] == 1).all())
        assert torch.equal(transformer_options["cond_mark"], texts)
        parts = texts.chunk(len(transformer_options["cond_or_uncond"]))
        assert [int(part[0]) for part in parts] == transformer_options["cond_or_uncond"]
        assert transformer_options["patches"] == {"kept": ()}
        seen.append(len(x))
        return x

    rows = len(kinds) * images
    options = forge_options(kinds, images)
    text = options["cond_mark"].reshape(rows, 1, 1).expand(rows, 5, 2)
    work = JointWork(JointSettings(Size(8, 8), 2, batch=at_once))
    wrapper = binding._as_wrapper(None, SimpleNamespace(), work, lambda: 0)  # type: ignore[arg-type]
    x = torch.rand(rows, 4, 8, 18)
    given = {"c_crossattn": text, "transformer_options": options}
    result = wrapper(apply_model, {"input": x, "timestep": torch.ones(rows), "c": given, "cond_or_uncond": kinds})
    assert torch.allclose(result, x)
    assert max(seen) == min(at_once, 3) * rows


@pytest.mark.parametrize(("is_xl", "length", "pooled"), [(True, 2816, 1280), (False, 2048, 2048)])
def test_all_of_the_pooled_text_is_the_tiles_own(
    is_xl: bool, length: int, pooled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SDXL's vector goes on with sizes; that of Stable Diffusion 3 is the text of both its CLIP models."""
    encoded = {"crossattn": torch.full((1, 4, 8), 5.0), "vector": torch.full((1, length), 5.0)}
    monkeypatch.setattr(prompts, "loaded_model", lambda: SimpleNamespace(is_sdxl=is_xl))
    monkeypatch.setattr(prompts, "without_networks", lambda prompt: prompt)
    monkeypatch.setattr(prompts, "prompt_steps", lambda p: (1, None))
    monkeypatch.setattr(prompts, "encode_prompt", lambda *_, **__: encoded)
    monkeypatch.setattr(prompts, "prompt_at", lambda schedule, step: schedule)
    p: Any = SimpleNamespace(width=128, height=64)
    whole = {"c_crossattn": torch.zeros(2, 4, 8), "y": torch.zeros(2, length)}
    conditioning = prompts.conditioning_of(p, {1: "bricks"})
    told = conditioning.of_tiles(whole, TILES[1:], [Side.PROMPT, Side.NEGATIVE], 0)
    assert bool((told["c_crossattn"][0] == 5).all())
    assert int((told["y"][0] == 5).sum()) == pooled
    assert bool((told["y"][0, :pooled] == 5).all())
    assert not bool((told["y"][1] == 5).any())
