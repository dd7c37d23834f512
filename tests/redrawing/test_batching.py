from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lib_upscale.errors import OutOfMemoryError, UpscalePlusError
from lib_upscale.progress import Callback
from lib_upscale.redrawing.journal import Journal, job_key
from lib_upscale.redrawing.painter import TileJob
from lib_upscale.redrawing.result import RedrawPicture
from lib_upscale.redrawing.tiles.filters import Pixels
from lib_upscale.settings.redraw import PromptSource, RedrawSettings
from tests.redrawing.helpers import Counting, FunctionPainter, enlarge, noisy, picture, run


class Cramped(FunctionPainter):
    """Has memory for one tile, and for that only once memory has been reduced."""

    reduced = False
    sizes: list[int]

    def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
        self.sizes.append(len(batch))
        if len(batch) > 1 or not self.reduced:
            raise OutOfMemoryError("Not even one tile fits")
        return super().paint(batch)

    def reduce_memory(self) -> bool:
        self.reduced, before = self.can_reduce, self.reduced
        return self.reduced and not before

    can_reduce = True


def test_out_of_memory_is_met_by_smaller_batches_then_by_the_painter() -> None:
    painter = Cramped(noisy)
    painter.sizes = []
    chosen = RedrawSettings(scale=1.0, tile=64, batch_size=4)
    result = run(picture(1, 120, 64), chosen, painter, enlarge)
    assert painter.sizes == [2, 1, 1, 1]
    expected = run(picture(1, 120, 64), chosen, FunctionPainter(noisy), enlarge)
    np.testing.assert_array_equal(result.pixels, expected.pixels)
    hopeless = Cramped(noisy)
    hopeless.sizes, hopeless.can_reduce = [], False
    with pytest.raises(OutOfMemoryError):
        run(picture(1, 120, 64), chosen, hopeless, enlarge)


def test_only_tiles_of_one_key_share_a_batch() -> None:
    class Keyed(Counting):
        sizes: list[int] = []  # noqa: RUF012

        def batch_key(self, job: TileJob) -> int:
            return len(job.prompt)

        def paint(self, batch: Sequence[TileJob]) -> Sequence[Pixels]:
            self.sizes.append(len(batch))
            assert len({len(job.prompt) for job in batch}) == 1
            return super().paint(batch)

    painter = Keyed()
    chosen = RedrawSettings(scale=1.0, tile=64, overlap=0, batch_size=8, regions="0,0,50,100: a very old oak tree")
    run(picture(1, 256, 64, prompt="wood"), chosen, painter, enlarge)
    assert painter.sizes == [2, 2]


@pytest.mark.parametrize(
    ("source", "own", "prompt", "expected"),
    [
        (PromptSource.PICTURE, "x", "a cat", "a cat"),
        (PromptSource.PICTURE, "x", "  ", "highly detailed"),
        (PromptSource.TILE, "fur", "a cat", "fur"),
        (PromptSource.TILE, "", "a cat", "highly detailed"),
        (PromptSource.CAPTION, "x", "a cat", "a caption"),
        (PromptSource.TAGS, "x", "a cat", "1cat, fur"),
    ],
)
def test_where_the_prompt_of_a_tile_comes_from(source: PromptSource, own: str, prompt: str, expected: str) -> None:
    class Captioning(FunctionPainter):
        def caption(self, pixels: Pixels, *, tags: bool = False) -> str:
            return "1cat, fur" if tags else "a caption"

    prompts = []

    def note(job: TileJob) -> Pixels:
        prompts.append(job.prompt)
        return job.pixels

    chosen = RedrawSettings(prompt_source=source, tile_prompt=own)
    run(picture(1, 40, 40, prompt=prompt), chosen, Captioning(note), enlarge)
    assert prompts == [expected]


def test_a_stop_while_tiles_are_described_keeps_what_is_done(tmp_path: Path) -> None:
    class Slow(Counting):
        asked = 0

        def caption(self, pixels: Pixels, *, tags: bool = False) -> str:
            self.asked += 1
            return "a caption"

    subject, chosen = picture(1, 128, 64), RedrawSettings(scale=1.0, tile=64, overlap=0)
    chosen = chosen.changed(prompt_source=PromptSource.CAPTION)
    journal = Journal(tmp_path, job_key(subject.pixels, None, chosen, 1, {}))
    journal.put("0-1", np.full((64, 64, 3), 65535, np.uint16))
    painter = Slow()
    progress = Callback(lambda fraction, text: None, lambda: painter.asked > 0)
    result = run(RedrawPicture(subject.pixels), chosen, painter, enlarge, progress, journal)
    assert result.partial
    assert painter.names == []
    assert result.pixels[:, 64:].min() == 1
    wider = picture(1, 192, 64)
    result = run(wider, chosen, (painter := Slow()), enlarge, Callback(lambda f, t: None, lambda: painter.asked > 0))
    assert (painter.asked, painter.names, result.partial) == (1, [], True)


def test_values_that_are_not_numbers_are_an_error_and_not_a_black_square() -> None:
    with pytest.raises(UpscalePlusError, match="not numbers"):
        run(picture(1, 40, 40), RedrawSettings(), FunctionPainter(lambda j: j.pixels * np.float32(np.nan)), enlarge)
