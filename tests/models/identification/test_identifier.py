"""Whatever bytes a file holds, it gets an identity, a sentence on what is wrong and what to do."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_upscale.errors import DamagedFileError, MissingArchitectureError, ModelFileError, UpscalePlusError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.identifier import identify, problem_of
from lib_upscale.models.identity import Identity, Kind
from lib_upscale.models.runtime.loader import load_network
from tests.models import networks
from tests.models.checkpoints import safetensors_bytes

pytestmark = pytest.mark.filterwarnings("ignore")  # of spandrel's constructors


def compact() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: tensor.clone() for name, tensor in networks.build("Compact").state_dict().items()}


def torch_bytes(content: Any, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.pth": lambda: torch_bytes(compact()),
    "b.pth": lambda: torch_bytes(compact(), new=False),
    "c.safetensors": lambda: safetensors_bytes(compact()),
}


@pytest.fixture(scope="module", params=FILES)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    name: str = request.param
    return tmp_path_factory.mktemp("fuzz") / name, FILES[name]()


def assert_complete(identity: Identity, path: Path) -> None:
    """An identity that a person can act on, and errors that name the file."""
    assert identity.path == path
    assert (identity.network is not None) == (
        identity.kind in (Kind.UPSCALER, Kind.RESTORER, Kind.FACE_RESTORER, Kind.INPAINTING)
    )
    if not identity.usable:
        assert identity.problem
        assert identity.advice or identity.kind is Kind.UNKNOWN
        error = problem_of(identity)
        assert isinstance(error, ModelFileError)
        assert path.name in str(error)


def assert_survives(path: Path, content: bytes) -> Identity:
    path.write_bytes(content)
    identity = identify(path)
    assert_complete(identity, path)
    with contextlib.suppress(UpscalePlusError):
        load_network(path)
    return identity


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(data=st.data())
def test_any_truncation(sound: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = sound
    length = data.draw(st.integers(0, len(content) - 1))
    identity = assert_survives(path, content[:length])
    # Only what follows the central directory's end could be missing without loss, and nothing follows it.
    assert identity.kind is Kind.DAMAGED


@FUZZ
@given(data=st.data())
def test_any_changed_byte(sound: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = sound
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert_survives(path, bytes(changed))


@FUZZ
@given(data=st.data())
def test_any_changed_byte_of_the_description(sound: tuple[Path, bytes], data: st.DataObject) -> None:
    """As above, where it hurts: in the pickle and the header rather than in the numbers."""
    path, content = sound
    start = content.find(b"body")
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(max(0, start - 300), min(len(content), start + 1500) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    assert_survives(path, bytes(changed))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=400), suffix=st.sampled_from([".pth", ".safetensors", ".ckpt", ".bin", ".param", ""]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    identity = assert_survives(path, content)
    assert not identity.usable


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    program=st.lists(st.one_of(st.sampled_from([bytes([op]) for op in range(256)]), st.binary(max_size=6)), max_size=60)
)
def test_any_program(tmp_path_factory: pytest.TempPathFactory, program: list[bytes]) -> None:
    """Random instructions where the pickle of an archive belongs."""
    path = tmp_path_factory.getbasetemp() / "program.pth"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archive/data.pkl", b"\x80\x02" + b"".join(program) + b".")
    assert not assert_survives(path, archive.getvalue()).usable


@functools.cache
def known_weights(architecture: str) -> dict[str, torch.Tensor]:
    return networks.weights(architecture)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_shapes_under_known_names(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Names of an architecture with shapes that are none of its own."""
    architecture = data.draw(st.sampled_from(["Compact", "ESRGAN", "SPAN", "PLKSR", "SwinIR", "OmniSR"]))
    tensors = known_weights(architecture)
    changed = dict(tensors)
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=4)):
        shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 64, 10_000]), max_size=4))
        changed[name] = torch.zeros(()).expand(shape)
    path = networks.save(tmp_path_factory.getbasetemp() / "shapes.pth", changed)
    assert_complete(identify(path), path)


def _zip_of(name: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"models/{name}", torch_bytes(compact()))
    return archive.getvalue()


def _tar(*names: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as target:
        for name in names:
            target.addfile(tarfile.TarInfo(name), io.BytesIO())
    return archive.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 66961958\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head>" + b"<p>" * 500
NOT_CHECKPOINTS: dict[str, tuple[bytes, str, str]] = {
    "empty.pth": (b"", "empty", "download"),
    "page.safetensors": (PAGE, "web page", "download"),
    "page2.pth": (b"\n\n  <HTML><body>Sign in</body></HTML>", "web page", "download"),
    "json.pth": (b'{"error":"Repository not found"}', "JSON", "download"),
    "json2.safetensors": (b'{"error": "Invalid username or password."}', "JSON", "download"),
    "lfs.safetensors": (LFS, "Git LFS", "git lfs pull"),
    "zipped.pth": (_zip_of("4x-UltraSharp.pth"), "zip archive that holds a model (4x-UltraSharp.pth)", "unpack"),
    "zipped.zip": (_zip_of("RealESRGAN_x4.safetensors"), "RealESRGAN_x4.safetensors", "unpack"),
    "x.pth.crdownload": (torch_bytes(compact()), "unfinished", "wait"),
    "x.safetensors.part": (safetensors_bytes(compact())[:100], "unfinished", "wait"),
    "zeros.pth": (b"\0" * 5000, "zeros", "download"),
    "picture.pth": (b"\x89PNG\r\n\x1a\n" + b"x" * 2000, "PNG", "download"),
    "packed.pth": (b"7z\xbc\xaf\x27\x1c" + b"x" * 2000, "7-Zip", "unpack"),
    "old.pth": (_tar("sys_info", "pickle", "storages", "tensors"), "torch 0.1", "save it again"),
    "some.tar": (_tar("model.pth"), "tar archive", "unpack"),
    "words.pth": (b"Not Found", "short text", "download"),
    "plain.pkl": (pickle.dumps([1, 2]), "torch did not write", "download"),
    "nothing.pth": (torch_bytes({}), "no weights", "download"),
    "cut.safetensors": (safetensors_bytes(compact())[:-1], "cut off", "download"),
    "cut.pth": (torch_bytes(compact())[:-30], "cut off", "download"),
    "cut-old.pth": (torch_bytes(compact(), new=False)[:-30], "cut off", "download"),
}


@pytest.mark.parametrize("name", NOT_CHECKPOINTS)
def test_what_is_no_checkpoint_says_so(tmp_path: Path, name: str) -> None:
    content, problem, advice = NOT_CHECKPOINTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    identity = identify(path)
    assert identity.kind is Kind.DAMAGED
    assert problem in str(identity.problem)
    assert advice in str(identity.advice)
    assert isinstance(problem_of(identity), DamagedFileError)
    assert_complete(identity, path)


def test_download_that_aria2_has_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes(compact()))
    assert identify(path).kind is Kind.UPSCALER
    (tmp_path / "x.safetensors.aria2").write_bytes(b"\0")
    assert identify(path).kind is Kind.DAMAGED


@pytest.mark.parametrize("architecture", ["ESRGAN", "SwinIR", "DAT", "SPAN"])
def test_network_with_a_part_missing(tmp_path: Path, architecture: str) -> None:
    tensors = networks.weights(architecture)
    # The last ones: an architecture is recognized by its first.
    for name in list(tensors)[-1:]:
        del tensors[name]
    path = networks.save(tmp_path / "part.pth", tensors)
    identity = identify(path)
    assert identity.kind in (Kind.DAMAGED, Kind.UNKNOWN)
    if identity.kind is Kind.DAMAGED:
        assert identity.architecture == architecture
    with pytest.raises((DamagedFileError, MissingArchitectureError)):
        load_network(path)


def test_network_with_impossible_shapes(tmp_path: Path) -> None:
    tensors = networks.weights("ESRGAN")
    tensors["model.1.sub.1.RDB2.conv3.0.weight"] = torch.zeros(5, 5, 5, 5)
    path = networks.save(tmp_path / "shapes.pth", tensors)
    identity = identify(path)
    assert identity.kind is Kind.DAMAGED
    assert "model.1.sub.1.RDB2.conv3.0.weight" in str(identity.problem)
    with pytest.raises(DamagedFileError):
        load_network(path)


def test_unknown_names(tmp_path: Path) -> None:
    path = networks.save(
        tmp_path / "new.pth", {"never.seen.weight": torch.zeros(3, 3), "never.seen.bias": torch.zeros(3)}
    )
    identity = identify(path)
    assert identity.kind is Kind.UNKNOWN
    assert identity.advice is None
    assert isinstance(problem_of(identity), MissingArchitectureError)
    with pytest.raises(MissingArchitectureError):
        load_network(path)


def test_missing_and_unreadable_paths_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path, Path("\0")):
        with pytest.raises(ModelFileError):
            identify(path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelFileError):
        identify(tmp_path / "file" / "below.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(ModelFileError, match="pipe"):
        identify(tmp_path / "pipe.pth")


def test_names_with_any_unicode(tmp_path: Path) -> None:
    path = tmp_path / "модель 模型 🖼 é.pth"
    path.write_bytes(torch_bytes(compact()))
    assert identify(str(path)).kind is Kind.UPSCALER
    assert len(read_checkpoint(path).load()) == len(compact())
