"""The host's parameters for a tile: a copy that shares nothing which a run adds to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing import TileJob
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.tile_processing import tile_parameters
from lib_upscale.webui.tiled_sampling.tile_run import TileRun

COLLECTED = ("extra_result_images", "latents_after_sampling", "pixels_after_sampling")
JOB = TileJob("0-0", Region(0, 0, 64, 64), np.zeros((64, 64, 3), np.float32), 0.5, "a cat", None, Region(0, 0, 8, 8))


class Generation(SimpleNamespace):
    """The host's parameters as far as a tile copies them; what a run finishes is added to lists."""

    def __init__(self, **values: Any) -> None:
        super().__init__(
            sd_model=SimpleNamespace(is_sdxl=False),
            script_args_value=[],
            extra_generation_params={"kept": 1},
            comments={},
            **values,
        )

    def init(self) -> None: ...

    def sample(self) -> None: ...

    def cached_params(self) -> None: ...

    def get_token_merging_ratio(self) -> float:
        overridden = getattr(self, "override_settings", {}).get("token_merging_ratio")
        return getattr(self, "token_merging_ratio", 0.0) or overridden or 0.5  # that of the settings


def parameters_of_tile(p: Any) -> Any:
    runner: Any = SimpleNamespace(alwayson_scripts=[])
    run = TileRun(p, runner, [], "", Seeds(1), 512, SimpleNamespace())  # type: ignore[arg-type]
    return tile_parameters(run, runner, [JOB], Size(64, 64), SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["of the Forge family", "AUTOMATIC1111"])
def test_what_a_tile_collects_is_not_shown_with_the_result(host: str) -> None:
    """Each tile's detected maps stood behind the result, and the latents of all tiles stayed in memory."""
    p: Any = Generation(**({name: ["of the image"] for name in COLLECTED} if host != "AUTOMATIC1111" else {}))
    tile = parameters_of_tile(p)
    for name in COLLECTED:
        assert hasattr(tile, name) == hasattr(p, name)
        if hasattr(tile, name):
            getattr(tile, name).append("a map of the tile")
            assert getattr(p, name) == ["of the image"]
    tile.extra_generation_params["of the tile"] = tile.comments["of the tile"] = 1
    assert (p.extra_generation_params, p.comments) == ({"kept": 1}, {})


def test_tokens_of_a_tile_are_merged_as_those_of_the_image() -> None:
    """Hires fix says of its second pass itself how far; tiles have no overrides of the settings."""
    p: Any = Generation(override_settings={"token_merging_ratio": 0.3})
    assert parameters_of_tile(p).get_token_merging_ratio() == 0.3
    for ratio in (0.0, 0.2):
        p.get_token_merging_ratio = lambda ratio=ratio: ratio
        assert parameters_of_tile(p).get_token_merging_ratio() == ratio
