"""A redraw's progress never goes back, says truly what is done, and tells where each part of it ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from lib_upscale.progress import PartProgress
from lib_upscale.redrawing.journal import Journal, job_key
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.settings.redraw import Blend, ColorLock, PromptSource, RedrawSettings, TileContext, TileOrder
from tests.redrawing.helpers import Counting, FunctionPainter, Killed, enlarge, picture, run


@dataclass
class Recorder(PartProgress):
    """Takes down every report; none of it is clamped."""

    fractions: list[float] = field(default_factory=list)
    parts: list[tuple[float, float, str]] = field(default_factory=list)

    @override
    def report(self, fraction: float, text: str = "") -> None:
        self.fractions.append(fraction)

    @override
    def begin(self, fraction: float, text: str, until: float, seconds: float | None = None) -> None:
        self.fractions.append(fraction)
        self.parts.append((fraction, until, text))

    @override
    def cancelled(self) -> bool:
        return False

    def check(self) -> None:
        steps = zip(self.fractions, self.fractions[1:], strict=False)
        assert all(later >= earlier - 1e-9 for earlier, later in steps)  # rounding is nothing that a bar shows
        assert 0 <= self.fractions[0] <= self.fractions[-1] == 1.0
        ends = [end for _, end, _ in self.parts]
        assert all(end <= start + 1e-9 for end, (start, _, _) in zip(ends, self.parts[1:], strict=False))

    def texts(self) -> list[str]:
        return [text for _, _, text in self.parts]


def uneven(job: TileJob) -> Pixels:
    """Every second tile comes out darker, so that borders stand out; a tile of the seam pass does not."""
    number = re.search(r"-(\d+)$", job.name)
    dark = "seam" not in job.name and number is not None and int(number[1]) % 2
    return (job.pixels * np.float32(0.6 if dark else 1.0)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(60, 200),
    height=st.integers(60, 200),
    passes=st.integers(1, 3),
    batch=st.integers(1, 3),
    seam_pass=st.booleans(),
    mode=st.sampled_from(TileContext),
    order=st.sampled_from(TileOrder),
    skip_flat=st.sampled_from([0.0, 8.0]),
    source=st.sampled_from([PromptSource.PICTURE, PromptSource.TAGS]),
    masked=st.booleans(),
    test=st.booleans(),
    enlarging=st.sampled_from([0.0, 0.3, 12.0]),
)
def test_no_plan_makes_it_go_back(
    width: int,
    height: int,
    passes: int,
    batch: int,
    seam_pass: bool,
    mode: TileContext,
    order: TileOrder,
    skip_flat: float,
    source: PromptSource,
    masked: bool,
    test: bool,
    enlarging: float,
) -> None:
    subject = picture(3, width, height)
    subject.pixels[: height // 2] = 0.5
    if masked:
        mask = np.zeros((height, width), np.float32)
        mask[: height // 2, : width // 3] = 1
        subject = RedrawPicture(subject.pixels, "", mask)
    chosen = RedrawSettings(
        scale=1.5,
        tile=80,
        overlap=16,
        passes=passes,
        batch_size=batch,
        seam_pass=seam_pass,
        mode=mode,
        order=order,
        skip_flat=skip_flat,
        prompt_source=source,
        color_lock=ColorLock.OFF,
        blend=Blend.CUT,
    )
    recorder = Recorder()
    only = (lambda grid: [grid.middle]) if test else None
    run(subject, chosen, FunctionPainter(uneven), enlarge, recorder, only=only, enlarging=enlarging)
    recorder.check()


def test_passes_tiles_and_borders_are_counted() -> None:
    subject = picture(3, 150, 150)
    chosen = RedrawSettings(
        scale=1.2, tile=104, overlap=16, passes=2, seam_pass=True, color_lock=ColorLock.OFF, blend=Blend.CUT
    )
    recorder = Recorder()
    result = run(subject, chosen, FunctionPainter(uneven), enlarge, recorder)
    texts = recorder.texts()
    assert texts[0] == "pass 1 of 2, upscaling"
    first, second = (len(step.grid.tiles) for step in result.plan.passes)
    assert texts[1 : first + 1] == [f"pass 1 of 2, tile {n} of {first}" for n in range(1, first + 1)]
    assert [text for text in texts if text.startswith("pass 2 of 2, tile")] == [
        f"pass 2 of 2, tile {n} of {second}" for n in range(1, second + 1)
    ]
    mended = [text for text in texts if "border" in text]
    assert result.count.borders == len(mended) > 0
    assert mended[0].startswith("pass 1 of 2, border 1 of ")


def test_the_tile_of_a_test_is_named() -> None:
    recorder = Recorder()
    chosen = RedrawSettings(scale=1.0, tile=64)
    run(picture(1, 170, 170), chosen, Counting(), enlarge, recorder, only=lambda grid: [grid.middle])
    assert recorder.texts() == ["upscaling", "test of tile 5 of 9"]
    recorder.check()


def test_a_batch_is_one_part_as_long_as_its_tiles() -> None:
    recorder = Recorder()
    chosen = RedrawSettings(scale=1.0, tile=64, batch_size=2)
    run(picture(1, 170, 170), chosen, Counting(), enlarge, recorder, enlarging=0.0)
    tiles = [(text, round((end - start) * 9)) for start, end, text in recorder.parts if "tile" in text]
    assert tiles == [*((f"tile {n} of 9", 2) for n in (1, 3, 5, 7)), ("tile 9 of 9", 1)]


def test_it_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    subject, chosen = picture(1, 170, 170), RedrawSettings(scale=1.0, tile=64)
    key = job_key(subject.pixels, None, chosen, 1, {})
    try:
        run(subject, chosen, Counting(die_after=4), enlarge, journal=Journal(tmp_path, key))
    except Killed:
        recorder = Recorder()
        run(subject, chosen, Counting(), enlarge, recorder, journal=Journal(tmp_path, key))
    assert recorder.texts() == ["upscaling", *(f"tile {n} of 9" for n in range(5, 10))]
    assert recorder.parts[1][0] > 0.4
    recorder.check()
