"""A file is read for what it contains, is closed afterwards, and says what is wrong where it can't be read."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats import reader
from lib_upscale.models.formats.checkpoint import (
    Checkpoint,
    CheckpointFormat,
    Container,
    TensorInfo,
    TruncatedContentError,
)
from lib_upscale.models.formats.reader import FORMATS, read_checkpoint
from lib_upscale.models.formats.torch_file import ZIP
from tests.models.checkpoints import assert_infos, assert_same, safetensors_bytes, saved, weights


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("container", list(Container)[:3])
def test_the_contents_decide_and_not_the_extension(tmp_path: Path, container: Container, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    if container is Container.SAFETENSORS:
        path.write_bytes(safetensors_bytes(weights()))
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=container is Container.ZIP_PICKLE)
    checkpoint = read_checkpoint(path)
    assert checkpoint.container is container
    assert_infos(checkpoint, weights())
    assert_same(checkpoint.load(), weights())


def test_file_that_shrinks_between_reading_and_loading(tmp_path: Path) -> None:
    for name, content in (("a.pth", saved(weights())), ("a.safetensors", safetensors_bytes(weights()))):
        path = tmp_path / name
        path.write_bytes(content)
        checkpoint = read_checkpoint(path)
        path.write_bytes(content[: len(content) // 3])
        with pytest.raises(DamagedFileError):
            checkpoint.load()


def test_file_that_vanishes_between_reading_and_loading(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(saved(weights()))
    checkpoint = read_checkpoint(path)
    path.unlink()
    with pytest.raises(ModelFileError, match="does not exist"):
        checkpoint.load()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux which files are open")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_nothing_stays_open_or_mapped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"held{suffix}"
    if suffix == ".safetensors":
        path.write_bytes(safetensors_bytes(weights()))
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=suffix == ".pth")
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.load()
    assert "held" not in Path("/proc/self/maps").read_text()
    assert not [target for target in _open_files() if "held" in target]
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert_same(tensors, weights())


def _open_files() -> list[str]:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            targets.append(str(descriptor.readlink()))
    return targets


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(ModelFileError, match="folder"):
        read_checkpoint(tmp_path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(saved(weights()))
    code = (
        "import sys; from pathlib import Path; from lib_upscale.models.formats.reader import read_checkpoint; "
        f"assert len(read_checkpoint(Path({str(path)!r})).tensors) == 3; assert 'torch' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


class TestFormats:
    """The list of formats is all that the reader knows of them."""

    def test_one_that_is_taken_out_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.pth"
        path.write_bytes(saved(weights()))
        assert read_checkpoint(path).container is Container.ZIP_PICKLE
        monkeypatch.setattr(reader, "FORMATS", tuple(one for one in FORMATS if one is not ZIP))
        with pytest.raises(DamagedFileError, match="not a model in any known format"):
            read_checkpoint(path)

    def test_one_that_is_added_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(path: Path, file: BinaryIO, size: int) -> Checkpoint:
            file.seek(4)
            shape = tuple(file.read(size - 4))
            if not shape:
                raise TruncatedContentError
            info = TensorInfo(shape, "float32")
            return Checkpoint(path, Container.SAFETENSORS, {"zeros": info}, lambda names: {"zeros": torch.zeros(shape)})

        path = tmp_path / "a.zeros"
        path.write_bytes(b"ZERO\x02\x03")
        with pytest.raises(DamagedFileError):
            read_checkpoint(path)
        zeros = CheckpointFormat(lambda head, path: head.startswith(b"ZERO"), read)
        monkeypatch.setattr(reader, "FORMATS", (*FORMATS, zeros))
        assert_same(read_checkpoint(path).load(), {"zeros": torch.zeros(2, 3)})
        path.write_bytes(b"ZERO")
        with pytest.raises(DamagedFileError, match="cut off"):
            read_checkpoint(path)
        path.write_bytes(saved(weights()))
        assert_same(read_checkpoint(path).load(), weights())
