"""What must not happen for every tile, and that the host is as it was afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing import TileJob, plan_redraw
from lib_upscale.settings.redraw import RedrawSettings
from lib_upscale.webui.host import environment, model
from lib_upscale.webui.tiled_sampling import canvas_rng, host_patches, painter
from lib_upscale.webui.tiled_sampling.canvas_rng import Seeds
from lib_upscale.webui.tiled_sampling.painter import HostPainter
from lib_upscale.webui.tiled_sampling.tile_run import TileRun
from tests.webui.test_tile_parameters import Generation


def reforge_generates(loaded: Any, sample: Callable[[], None]) -> None:
    """reForge's `process_images_inner` around sampling, for zero terminal SNR."""
    loaded.sigmas_original = loaded.sigmas
    loaded.alphas_cumprod_original = loaded.alphas_cumprod
    loaded.sigmas, loaded.alphas_cumprod = f"rescaled {loaded.sigmas}", f"rescaled {loaded.alphas_cumprod}"
    sample()
    loaded.sigmas, loaded.alphas_cumprod = loaded.sigmas_original, loaded.alphas_cumprod_original


def test_reforges_noise_schedule_is_its_own_after_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes back to what it has noted on the model, where each tile notes the image's."""
    loaded = SimpleNamespace(sigmas="sigmas", alphas_cumprod="alphas")
    names = ("set_current_image", "do_set_current_image", "assign_current_image")
    state = SimpleNamespace(**dict.fromkeys(names, "the host's"))
    options = SimpleNamespace(no_prompt_history=False)
    monkeypatch.setattr(model, "loaded_model", lambda: loaded)
    monkeypatch.setattr(environment, "state", lambda: state)
    monkeypatch.setattr(environment, "cmd_opts", lambda: options)
    monkeypatch.setattr(environment, "option", lambda key, default: default)
    monkeypatch.setattr(host_patches, "samplers_module", lambda: SimpleNamespace(store_latent=None))

    def sample() -> None:
        with host_patches.quiet_host():
            assert options.no_prompt_history, "params.txt is the image's"
            for _ in range(2):
                reforge_generates(loaded, lambda: None)
                assert (loaded.sigmas, loaded.alphas_cumprod) == ("rescaled sigmas", "rescaled alphas")

    reforge_generates(loaded, sample)
    assert (loaded.sigmas, loaded.alphas_cumprod) == ("sigmas", "alphas")
    assert vars(state) == dict.fromkeys(names, "the host's")
    assert not options.no_prompt_history


class Runner:
    """The host's runner of scripts."""

    def __init__(self) -> None:
        self.alwayson_scripts: list[Any] = []

    def postprocess_batch_list(self, p: Any, pp: Any) -> None: ...


def test_the_host_keeps_no_noise_of_a_canvas_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """k-diffusion's `torch`, which the host replaces, has the last generator until the next generation."""
    kept = []

    def process_images(tile: Any) -> None:
        tile.init()
        tile.sampler = SimpleNamespace(create_noise_sampler=None)
        tile.sample()
        assert tile.rng.next().shape == (1, 4, 8, 8)
        kept.append((tile.rng, tile.sampler))
        tile.scripts_value.postprocess_batch_list(tile, SimpleNamespace(images=[torch.zeros(3, 64, 64)]))

    monkeypatch.setattr(painter, "process_images", process_images)
    monkeypatch.setattr(painter, "latent_shape", lambda size: (4, size.height // 8, size.width // 8))
    monkeypatch.setattr(canvas_rng, "image_rng", lambda shape, *_: lambda: torch.zeros(shape))
    monkeypatch.setattr(painter, "image_prompt", lambda p: "a cat")
    monkeypatch.setattr(HostPainter, "_call", lambda *_: None)
    stops = SimpleNamespace(renew=lambda: None, begin_tile=lambda: None, requested=lambda: False)
    run = TileRun(Generation(), Runner(), [], "", Seeds(1), 512, stops)  # type: ignore[arg-type]
    host_painter = HostPainter(run)
    (step,) = plan_redraw(Size(64, 64), RedrawSettings(scale=1.0), native=64, multiple=8, strength=0.5).passes
    host_painter.begin(step)
    pixels = np.zeros((64, 64, 3), np.float32)
    host_painter.paint([TileJob("0-0", Region(0, 0, 64, 64), pixels, 0.5, "a cat", None, Region(0, 0, 8, 8))])
    canvas = weakref.ref(host_painter._random)  # type: ignore[arg-type]
    assert canvas() is not None
    assert len(kept) == 1
    del host_painter, run
    gc.collect()
    assert canvas() is None
