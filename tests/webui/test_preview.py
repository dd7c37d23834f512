"""What the live preview shows of a canvas, and when."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lib_upscale.image.geometry import Region
from lib_upscale.webui.host import environment
from lib_upscale.webui.tiled_sampling.preview import PreviewThumbnail


class State:
    def __init__(self) -> None:
        self.shown: list[Image.Image] = []

    def assign_current_image(self, image: Image.Image) -> None:
        self.shown.append(image)


def test_what_is_done_last_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may reach the page after the bar has gone, and would lie over the result."""
    state = State()
    monkeypatch.setattr(environment, "state", lambda: state)
    monkeypatch.setattr(environment, "opts", lambda: SimpleNamespace())
    thumbnail = PreviewThumbnail()
    thumbnail.begin(np.zeros((64, 128, 3), np.float32))
    for x in (0, 64):
        thumbnail.show()  # as the tile begins
        thumbnail.paste(Region(x, 0, 64, 64), np.ones((64, 64, 3), np.float32))
    means = [[np.asarray(image)[:, half].mean() for half in (slice(0, 64), slice(64, 128))] for image in state.shown]
    assert means == [[0, 0], [255, 0]]
