"""What the script knows of the image that its line describes, kept for every session of a page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_upscale.webui.host import environment
from lib_upscale.webui.host.environment import HostKind
from lib_upscale.webui.sd_upscale import source
from lib_upscale.webui.ui.open_tab import MaskBits, OpenTab


def test_of_an_image_8_bits_of_brightness_are_kept_and_of_a_large_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio keeps what a session knows for as long as it runs."""
    monkeypatch.setattr(source, "MOST_KEPT", 60 * 40)
    image = Image.effect_noise((60, 40), 50).convert("RGB")
    found = source.describe_image(image)
    assert found.size == (60, 40)
    assert found.gray is not None
    assert (found.gray.nbytes, found.gray.dtype) == (60 * 40, np.uint8)
    assert np.array_equal(found.gray, np.asarray(image)[:, :, 0])
    larger = source.describe_image(image.resize((61, 40)))
    assert (larger.size, larger.gray) == ((61, 40), None)
    assert source.describe_image(None).size is None


@pytest.mark.parametrize("size", [(90, 60), (384, 640), (2560, 2048)])
@pytest.mark.parametrize("host", HostKind)
def test_around_the_strokes_of_a_sketch_forge_redraws_a_little_more(
    size: tuple[int, int], host: HostKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "host_kind", lambda: host)
    width, height = size
    columns, rows = min(128, width), min(128, height)
    cells = np.zeros((rows, columns), np.bool_)
    cells[10:20, 30:32] = cells[12:14, 3:60] = True
    drawn = MaskBits(cells, (3 / columns, 10 / rows, 60 / columns, 20 / rows))
    found = source.source_in(OpenTab("img2img_inpaint_sketch_tab", size, drawn), source.Source()).mask
    assert found is not None
    strokes = drawn.plane(*size)
    wanted = strokes > 0
    if host is HostKind.FORGE:  # img2img_function in its modules/img2img.py
        around = ImageFilter.MaxFilter(int(0.015 * min(size)) * 2 + 1)
        wanted = np.asarray(Image.fromarray(wanted.astype(np.uint8) * 255).filter(around)) > 0
    mask = found.plane(*size) > 0
    assert mask[wanted].all()
    lines = [np.flatnonzero(plane.any(axis=axis))[[0, -1]].tolist() for plane in (mask, wanted) for axis in (0, 1)]
    assert lines[:2] == lines[2:], "its box is exact"
    assert mask.sum() <= wanted.sum() * (1 if host is not HostKind.FORGE else 1.3)
    nothing = OpenTab("img2img_inpaint_sketch_tab", size, MaskBits(cells & False, (0.0, 0.0, 0.0, 0.0)))
    left = source.source_in(nothing, source.Source()).mask
    assert left is not None
    assert not left.plane(*size).any()
