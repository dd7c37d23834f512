"""The joint method's parts that need no host: conditioning of tiles, ControlNet's hints, exact sizes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.latent.joint_denoiser import LatentTile
from lib_upscale.webui.hires_fix.size import HiresSize
from lib_upscale.webui.tiled_sampling.joint.conditioning import Encoded, Side, TileConditioning
from lib_upscale.webui.tiled_sampling.joint.hints import cropped_hints

TILES = [LatentTile(0, Region(0, 0, 16, 16), Size(32, 16)), LatentTile(1, Region(16, 0, 16, 16), Size(32, 16))]
SIDES = [Side.PROMPT, Side.NEGATIVE]


def conditioning(length: int) -> TileConditioning:
    return TileConditioning(
        {1: "bricks"},
        lambda prompt, step, side: Encoded(torch.full((length, 4), 5.0)),
        lambda: torch.full((2, 4), -1.0),
    )


def test_only_rows_of_the_prompt_get_the_tiles_own() -> None:
    rows = torch.randn(2, 6, 4)
    told = conditioning(6).of_tiles({"c_crossattn": [rows]}, TILES[1:], SIDES, 0)["c_crossattn"][0]
    assert bool((told[0] == 5).all())
    assert torch.equal(told[1], rows[1])
    same = conditioning(6).of_tiles({"c_crossattn": [rows]}, TILES[:1], SIDES, 0)["c_crossattn"][0]
    assert torch.equal(same, rows), "this tile has the picture's prompt"


@pytest.mark.parametrize(("own", "length"), [(4, 6), (10, 10)])
def test_prompts_of_other_lengths_are_filled_up_as_the_host_does(own: int, length: int) -> None:
    rows = torch.zeros(2, 6, 4)
    told = conditioning(own).of_tiles({"crossattn": rows}, TILES[1:], SIDES, 0)["crossattn"]
    assert told.shape == (2, length, 4)
    assert bool((told[0, :own] == 5).all())
    assert bool((told[0, own:] == -1).all())
    assert bool((told[1, 6:] == -1).all())


def test_a_row_that_controlnet_has_marked_stays_marked() -> None:
    """It takes its marks off if every row of a batch has one, and off none otherwise."""
    mark = torch.full((1, 1, 4), 1024.0)
    rows = torch.cat([torch.cat([mark, -mark]), torch.randn(2, 6, 4)], dim=1)
    told = conditioning(6).of_tiles({"crossattn": rows}, TILES[1:], SIDES, 0)["crossattn"]
    assert told.shape == rows.shape
    assert torch.equal(told[:, :1], rows[:, :1])
    assert bool((told[0, 1:] == 5).all())
    assert torch.equal(told[1], rows[1])


def test_tiles_of_different_prompts_never_share_a_batch() -> None:
    own = conditioning(6)
    assert own.group(TILES[0]) != own.group(TILES[1])


def test_hints_are_cut_while_the_model_runs_and_whole_again_after() -> None:
    low, high = torch.randn(1, 3, 64, 128), torch.randn(1, 3, 128, 256)
    params = SimpleNamespace(hint_cond=low, hr_hint_cond=high)
    image_prompt = SimpleNamespace(hint_cond={"hidden": torch.randn(1, 7)}, hr_hint_cond=None)
    network = SimpleNamespace(control_params=[params, image_prompt])
    p = SimpleNamespace(scripts=SimpleNamespace(alwayson_scripts=[SimpleNamespace(latest_network=network)]))
    untouched = image_prompt.hint_cond
    with cropped_hints(p, TILES[1:], lambda values: torch.cat([tile.crop(values) for tile in TILES[1:]])):
        assert torch.equal(params.hint_cond, high[:, :, :, 128:])
        assert torch.equal(params.hr_hint_cond, high[:, :, :, 128:])
        assert image_prompt.hint_cond is untouched
    assert params.hint_cond is low
    assert params.hr_hint_cond is high


def cut_to_second(params: SimpleNamespace) -> AbstractContextManager[None]:
    network = SimpleNamespace(control_params=[params])
    p = SimpleNamespace(scripts=SimpleNamespace(alwayson_scripts=[SimpleNamespace(latest_network=network)]))
    return cropped_hints(p, TILES[1:], lambda values: torch.cat([TILES[1].crop(values).expand(2, -1, -1, -1)]))


def test_a_hint_that_leaves_the_last_pixels_out_goes_on_as_it_ends() -> None:
    params = SimpleNamespace(hint_cond=torch.randn(1, 3, 120, 248), hr_hint_cond=None)
    with cut_to_second(params):
        assert params.hint_cond.shape == (1, 3, 128, 128)
        assert torch.equal(
            params.hint_cond[:, :, :120, 120:], params.hint_cond[:, :, :120, 119:120].expand(1, 3, 120, 8)
        )
        assert torch.equal(params.hint_cond[:, :, 120:], params.hint_cond[:, :, 119:120].expand(1, 3, 8, 128))


def test_what_a_network_keeps_of_its_first_hint_is_made_anew_for_a_tile() -> None:
    hint = torch.rand(1, 3, 128, 256)
    adapter = SimpleNamespace(control=["of the first tile"])
    layer = SimpleNamespace(cond_image=hint * 2 - 1, cond_emb="of the first tile")
    for model in (adapter, SimpleNamespace(modules={"lllite": layer})):
        with cut_to_second(SimpleNamespace(hint_cond=hint, control_model=model)):
            if model is adapter:
                assert adapter.control is None
            else:
                assert layer.cond_emb is None
                assert torch.equal(layer.cond_image, hint[:, :, :, 128:] * 2 - 1)
    assert adapter.control == ["of the first tile"]
    assert layer.cond_emb == "of the first tile"


def test_a_reference_and_a_style_are_seen_whole() -> None:
    hint = torch.rand(1, 3, 128, 256)
    reference = SimpleNamespace(hint_cond=hint, control_model_type=SimpleNamespace(name="AttentionInjection"))
    for params in (reference, SimpleNamespace(hint_cond=hint, global_average_pooling=True)):
        with cut_to_second(params):
            assert params.hint_cond.shape == (1, 3, 128, 128)
            halves = hint.mean(dim=2), params.hint_cond.mean(dim=2)
            assert torch.allclose(halves[0][..., ::2] + halves[0][..., 1::2], 2 * halves[1], atol=0.3)
            assert abs(float(hint.mean() - params.hint_cond.mean())) < 0.01


def test_an_effective_region_of_any_size_is_cut_to_the_tile() -> None:
    mask = torch.zeros(1, 1, 64, 128)
    mask[..., 96:] = 1
    params = SimpleNamespace(hint_cond=torch.rand(1, 3, 128, 256), effective_region_mask=mask)
    with cut_to_second(params):
        cut = params.effective_region_mask
        assert cut.shape[2:] == (128, 128)
        assert float(cut[..., :60].max()) == 0
        assert float(cut[..., 68:].min()) == 1
    assert params.effective_region_mask is mask


@given(
    width=st.integers(64, 900),
    height=st.integers(64, 900),
    resize=st.booleans(),
    across=st.integers(64, 2000),
    down=st.integers(64, 2000),
)
def test_the_result_lies_inside_of_what_is_denoised(
    width: int, height: int, resize: bool, across: int, down: int
) -> None:
    if resize and width / height < across / down:
        enlarged = (across, across * height // width)
    elif resize:
        enlarged = (down * width // height, down)
    else:
        enlarged = (width * 2 + 1, height * 2 + 3)
    cut = ((enlarged[0] - across) // 8, (enlarged[1] - down) // 8) if resize else (0, 0)
    size = HiresSize.of(
        SimpleNamespace(
            hr_upscale_to_x=enlarged[0],
            hr_upscale_to_y=enlarged[1],
            hr_resize_x=across if resize else 0,
            hr_resize_y=down if resize else 0,
            truncate_x=cut[0],
            truncate_y=cut[1],
        )
    )
    assert tuple(size.final) == ((across, down) if resize else enlarged)
    assert Region.whole(size.canvas).contains(size.crop)
    assert size.crop.size == size.final
