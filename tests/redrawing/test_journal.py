from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_upscale.redrawing.journal import JobKey, Journal, find_unfinished, job_key
from lib_upscale.settings.redraw import Blend, RedrawSettings

TILE = np.random.default_rng(0).integers(0, 65536, (16, 24, 3)).astype(np.uint16)
KEY = JobKey("a" * 40, 5)


def test_a_tile_comes_back_as_it_was(tmp_path: Path) -> None:
    Journal(tmp_path, KEY).put("0-3", TILE)
    again = Journal(tmp_path, KEY).get("0-3", TILE.shape)
    assert again is not None
    np.testing.assert_array_equal(again, TILE)
    assert Journal(tmp_path, KEY).get("0-4", TILE.shape) is None
    assert Journal(tmp_path, KEY).get("0-3", (16, 16, 3)) is None


@given(cut=st.integers(0, 2500), flipped=st.integers(0, 2400))
def test_a_damaged_tile_counts_as_not_there(tmp_path_factory: pytest.TempPathFactory, cut: int, flipped: int) -> None:
    root = tmp_path_factory.mktemp("journal")
    journal = Journal(root, KEY)
    journal.put("0-0", TILE)
    path = root / KEY.folder / "0-0.tile"
    whole = path.read_bytes()
    damaged = bytearray(whole[:cut])
    if flipped < len(damaged):
        damaged[flipped] ^= 1
    path.write_bytes(damaged)
    assert bytes(damaged) == whole or journal.get("0-0", TILE.shape) is None


def test_the_key_tells_jobs_apart() -> None:
    pixels = np.random.default_rng(0).random((8, 9, 3), dtype=np.float32)
    mask = np.ones((8, 9), np.float32)
    plain = RedrawSettings()
    keys = [
        job_key(pixels, None, plain, 1, {"checkpoint": "a"}),
        job_key(pixels, None, plain, 2, {"checkpoint": "a"}),
        job_key(pixels, None, plain, 1, {"checkpoint": "b"}),
        job_key(pixels, mask, plain, 1, {"checkpoint": "a"}),
        job_key(pixels, mask * 0.5, plain, 1, {"checkpoint": "a"}),
        job_key(pixels * 0.5, None, plain, 1, {"checkpoint": "a"}),
        job_key(pixels.reshape(9, 8, 3), None, plain, 1, {"checkpoint": "a"}),
        job_key(pixels, None, plain.changed(blend=Blend.CUT), 1, {"checkpoint": "a"}),
    ]
    assert len(set(keys)) == len(keys)
    assert job_key(pixels.copy(), None, plain.changed(batch_size=4), 1, {"checkpoint": "a"}) == keys[0]


def test_a_job_with_a_random_seed_is_found_again(tmp_path: Path) -> None:
    for seed, tiles in ((3, 1), (4, 2), (5, 0)):
        for number in range(tiles):
            Journal(tmp_path, JobKey("b" * 40, seed)).put(f"0-{number}", TILE)
    Journal(tmp_path, KEY).put("0-0", TILE)
    assert {(job.key.seed, job.tiles) for job in find_unfinished(tmp_path, "b" * 40)} == {(3, 1), (4, 2)}
    assert find_unfinished(tmp_path / "nowhere", "b" * 40) == []


def test_old_jobs_make_room_and_foreign_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "picture.png").write_bytes(bytes(9000))
    one, two = JobKey("c" * 40, 1), JobKey("d" * 40, 1)
    limit = 2 * (TILE.nbytes + 200)
    for key in (one, two):
        journal = Journal(tmp_path, key, limit)
        journal.put("0-0", TILE)
        journal.put("0-1", TILE)
        assert not journal.problem
    assert len(Journal(tmp_path, one)) == 0
    assert len(Journal(tmp_path, two)) == 2
    assert (tmp_path / "mine" / "picture.png").exists()
    journal.put("0-2", TILE)
    assert journal.problem
    assert len(journal) == 2


def test_a_disk_that_refuses_ends_the_journal_and_not_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file", KEY)
    journal.put("0-0", TILE)
    assert "can't be kept" in journal.problem
    assert journal.get("0-0", TILE.shape) is None


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    Journal(tmp_path, KEY).put("0-0", TILE)
    part = tmp_path / KEY.folder / ".0123.part"
    part.write_bytes(b"half")
    assert len(Journal(tmp_path, KEY)) == 1
    assert not part.exists()
