"""Out of memory in the middle of a redraw, in a real WebUI: smaller batches, the VAE by tiles, an error in words.

A second extension makes the host's VAE fail as torch would, by the number of its pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.webui.conftest import real_webui
from tests.webui.models import place_models
from tests.webui.server import WebUI
from tests.webui.test_sd_upscale import ask, redrawn

pytestmark = pytest.mark.webui

FAILING = '''
from pathlib import Path
import torch
from modules import script_callbacks, shared, paths

LIMIT = Path(paths.data_path) / "limit.txt"
FULL = "[enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory"


def limited(place):
    """Counts pixels that a network is given, in latents of the UNet and in pixels of the decoder's last layer."""

    def check(module, given):
        most = int(LIMIT.read_text().split()[place]) if LIMIT.exists() else 0
        shape = given[0].shape
        if most and shape[0] * shape[2] * shape[3] > most:
            raise RuntimeError(FULL)

    return check


def loaded(model):
    model.model.diffusion_model.register_forward_pre_hook(limited(0))
    model.first_stage_model.decoder.conv_out.register_forward_pre_hook(limited(1))


script_callbacks.on_model_loaded(loaded)
'''


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI whose memory can be made small."""
    import os

    code, python = real_webui()
    given = os.environ.get("SD_WEBUI_DATA")
    if not given or (code / "modules_forge").is_dir():
        pytest.skip("no checkpoint, or not AUTOMATIC1111's WebUI")
    data = tmp_path_factory.mktemp("poor")
    place_models(data / "models")
    script = data / "extensions" / "failing" / "scripts" / "failing.py"
    script.parent.mkdir(parents=True)
    script.write_text(FAILING)
    server = WebUI(code, python, data, Path(given).resolve())
    try:
        server.start()
        yield server
    finally:
        server.stop()


def limit(webui: WebUI, unet: int, decoder: int) -> None:
    (webui.data / "limit.txt").write_text(f"{unet} {decoder}")


def test_less_memory_changes_no_result(poor: WebUI) -> None:
    limit(poor, 0, 0)
    whole = redrawn(poor, batch_size=4)
    limit(poor, 3 * 16 * 16, 0)  # with and without the prompt: one tile of 128 at a time
    assert np.abs(redrawn(poor, batch_size=4) - whole).max() <= 1
    limit(poor, 0, 128 * 128 - 1)
    assert np.abs(redrawn(poor) - whole).max() <= 1


def test_in_the_end_it_is_said(poor: WebUI) -> None:
    limit(poor, 10, 0)
    status, answer = ask(poor)
    limit(poor, 0, 0)
    assert status == 422
    assert "128x128" in str(answer)
    assert "smaller" in str(answer)
