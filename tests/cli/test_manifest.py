"""What is known of earlier results: done, to be made again, or not to be touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib_upscale.cli.inputs import FileJob
from lib_upscale.cli.manifest import MANIFEST_NAME, Manifest, State
from lib_upscale.errors import OutputError


@pytest.fixture
def job(tmp_path: Path) -> FileJob:
    """A job whose result was made with the settings "x2"."""
    source, output = tmp_path / "a.png", tmp_path / "out" / "sub" / "a.png"
    source.write_bytes(b"source")
    made = FileJob(source, output)
    begin(made)
    output.write_bytes(b"result")
    manifest = Manifest(tmp_path / "out", "x2")
    manifest.record_source(made)
    manifest.begin(made)
    manifest.finish(made)
    return made


def begin(job: FileJob) -> None:
    manifest = Manifest(job.output.parents[1], "x2")
    manifest.record_source(job)
    manifest.begin(job)


def state(job: FileJob, settings: str = "x2") -> State:
    return Manifest(job.output.parents[1], settings).state(job)


def test_made_from_the_same_with_the_same_is_done(job: FileJob) -> None:
    assert state(job) is State.DONE


def test_what_was_removed_is_made_again(job: FileJob) -> None:
    job.output.unlink()
    assert state(job) is State.ABSENT


def test_other_settings_or_another_picture_make_it_outdated(job: FileJob) -> None:
    assert state(job, "x4") is State.OUTDATED
    job.source.write_bytes(b"changed")
    assert state(job) is State.OUTDATED


def test_a_copied_picture_is_still_the_same(job: FileJob) -> None:
    os.utime(job.source, (1, 1))
    assert state(job) is State.DONE
    job.source.write_bytes(b"SOURCE")
    assert state(job) is State.OUTDATED


def test_a_copied_folder_is_still_done(job: FileJob, tmp_path: Path) -> None:
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    moved = FileJob(job.source, tmp_path / "elsewhere" / "sub" / "a.png")
    os.utime(moved.output, (1, 1))
    assert state(moved) is State.DONE


def test_what_someone_else_has_made_or_changed_is_not_touched(job: FileJob, tmp_path: Path) -> None:
    job.output.write_bytes(b"retouched by hand")
    assert state(job) is State.FOREIGN
    assert state(job, "x4") is State.FOREIGN
    other = FileJob(job.source, tmp_path / "out" / "sub" / "other.png")
    other.output.write_bytes(b"someone's")
    assert state(other) is State.FOREIGN


def test_what_was_begun_before_a_crash_is_made_again(job: FileJob, tmp_path: Path) -> None:
    other = FileJob(job.source, tmp_path / "out" / "sub" / "other.png")
    begin(other)
    assert state(other) is State.ABSENT
    other.output.write_bytes(b"whole, but the crash came before this could be noted")
    assert state(other) is State.OUTDATED


def test_a_picture_that_changes_while_it_is_computed_is_not_done(job: FileJob) -> None:
    manifest = Manifest(job.output.parents[1], "x2")
    manifest.record_source(job)
    job.source.write_bytes(b"edited meanwhile")
    manifest.begin(job)
    manifest.finish(job)
    assert state(job) is State.OUTDATED


@pytest.mark.parametrize("damage", [b"\xff\x00{", b'{"output": "sub/a.png"', b"[]\n1\n{}\n"])
def test_damaged_lines_cost_only_themselves(job: FileJob, damage: bytes) -> None:
    notes = job.output.parents[1] / MANIFEST_NAME
    notes.write_bytes(notes.read_bytes() + damage)
    assert state(job) is State.DONE
    begin(job)  # appended to a torn line
    assert state(job) is State.OUTDATED


def test_a_folder_that_cannot_be_written_is_found_out_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a.png").touch()
    manifest = Manifest(tmp_path / "file", "x2")
    job = FileJob(tmp_path / "a.png", tmp_path / "file" / "a.png")
    manifest.record_source(job)
    with pytest.raises(OutputError, match="choose another folder"):
        manifest.begin(job)


def test_only_unchanged_results_are_taken_for_results(job: FileJob, tmp_path: Path) -> None:
    assert Manifest(tmp_path / "out", "x4").is_result(job.output)
    assert not Manifest(tmp_path / "out", "x2").is_result(job.source)
    job.output.write_bytes(b"something else")
    assert not Manifest(tmp_path / "out", "x2").is_result(job.output)
