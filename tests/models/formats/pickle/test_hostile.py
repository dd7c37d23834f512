"""Pickles made to do harm: none of them does anything, and each is named for what it asked for."""

from __future__ import annotations

import copy
import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_upscale.errors import DamagedFileError, UnsafeFileError
from lib_upscale.models.formats.pickle.interpreter import interpret
from lib_upscale.models.formats.pickle.machine import MAX_OPCODES
from lib_upscale.models.formats.pickle.values import DamagedPickleError, UnsafePickleError
from lib_upscale.models.formats.reader import read_checkpoint
from lib_upscale.models.identification.identifier import identify, problem_of
from lib_upscale.models.identity import Kind
from lib_upscale.models.runtime.loader import load_network

fired: list[str] = []
"""What a payload did. Anything in it means that a pickle was executed."""


def fire(*args: object) -> str:
    """What the payloads call: this very module's function, or a built-in that writes a file."""
    fired.append(repr(args))
    return "done"


@pytest.fixture(autouse=True)
def _nothing_fires() -> Any:
    fired.clear()
    yield
    assert fired == []


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def asking(module: str, name: str, argument: str) -> dict[str, bytes]:
    """The same call in every way that a pickle has of making one."""
    target = f"{module}\n{name}\n".encode()
    by_name = b"c" + target
    by_stack = short(module) + short(name) + b"\x93"
    args = text(argument) + b"\x85"
    nested = b"\x80\x02}" + text("params") + b"}" + text("w") + by_name + args + b"Rssu."
    return {
        "GLOBAL REDUCE": b"\x80\x02" + by_name + args + b"R.",
        "STACK_GLOBAL REDUCE": b"\x80\x04" + by_stack + args + b"R.",
        "INST": b"(" + text(argument) + b"i" + target + b".",
        "OBJ": b"\x80\x02(" + by_name + text(argument) + b"o.",
        "NEWOBJ": b"\x80\x02" + by_name + args + b"\x81.",
        "NEWOBJ_EX": b"\x80\x04" + by_name + args + b"}\x92.",
        "BUILD": b"\x80\x02" + by_name + args + b"b.",
        "protocol 0": b"c" + target + b"(S" + repr(argument).encode() + b"\ntR.",
        "memo": b"\x80\x02" + by_name + b"q\x000h\x00" + args + b"R.",
        "in a dictionary": nested,
        "thrown away": b"\x80\x02" + by_name + args + b"R0}.",
        "as an argument": b"\x80\x02ccollections\nOrderedDict\n" + by_name + args + b"R\x85R.",
        "after a rebuilt tensor": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + by_name + b"N" + args + b"NtR.",
    }


PAYLOADS = [
    ("os", "system", "touch {canary}"),
    ("posix", "system", "touch {canary}"),
    ("nt", "system", "touch {canary}"),
    ("builtins", "eval", "open({canary!r}, 'w')"),
    ("__builtin__", "eval", "open({canary!r}, 'w')"),
    ("builtins", "exec", "open({canary!r}, 'w')"),
    ("builtins", "getattr", "x"),
    ("builtins", "__import__", "os"),
    ("subprocess", "Popen", "touch {canary}"),
    ("tests.models.formats.pickle.test_hostile", "fire", "x"),
    ("torch", "load", "{canary}"),
    ("torch.hub", "load", "{canary}"),
    ("torch.serialization", "load", "{canary}"),
    ("torch.storage", "_load_from_bytes", "x"),
    ("numpy", "load", "{canary}"),
    ("numpy.testing._private.utils", "runstring", "x"),
    ("pathlib", "os.system", "touch {canary}"),
    ("torch", "nn.os.system", "touch {canary}"),
    ("collections", "namedtuple", "x"),
    ("operator", "attrgetter", "system"),
    ("webbrowser", "open", "http://127.0.0.1/"),
    ("runpy", "run_path", "{canary}"),
    ("pip", "main", "x"),
]


def containers(pickled: bytes) -> dict[str, bytes]:
    """The pickle where each kind of file keeps one."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        target.writestr("archive/version", "3")
    magic, version, machine = (
        pickle.dumps(value, 2)
        for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    )
    return {
        "zip.pth": archive.getvalue(),
        "legacy.pth": magic + version + machine + pickled + pickle.dumps([], 2),
        "magic.ckpt": pickled,
        "machine.pt": magic + version + pickled,
        "keys.pt": magic + version + machine + pickle.dumps({}, 2) + pickled,
    }


@pytest.mark.parametrize(("module", "name", "argument"), PAYLOADS)
def test_nothing_is_executed_however_it_is_asked(tmp_path: Path, module: str, name: str, argument: str) -> None:
    canary = tmp_path / "canary"
    for way, pickled in asking(module, name, argument.format(canary=str(canary))).items():
        for file_name, content in containers(pickled).items():
            path = tmp_path / file_name
            path.write_bytes(content)
            identity = identify(path)
            assert identity.kind is Kind.UNSAFE, (way, file_name, identity)
            assert f"{module}.{name}" in str(identity.problem)
            assert identity.advice
            error = problem_of(identity)
            assert isinstance(error, UnsafeFileError)
            assert file_name in str(error)
            with pytest.raises(UnsafeFileError):
                load_network(path)
    assert not canary.exists()


def test_these_pickles_do_fire_when_they_are_executed() -> None:
    """The tests above would pass with payloads that are broken; these are not."""
    for way, pickled in asking("tests.models.formats.pickle.test_hostile", "fire", "x").items():
        if way in ("GLOBAL REDUCE", "STACK_GLOBAL REDUCE", "INST", "OBJ", "protocol 0", "memo", "thrown away"):
            fired.clear()
            pickle.loads(pickled)  # noqa: S301
            assert fired == ["('x',)"], way
    fired.clear()


@pytest.mark.parametrize("code", [b"\x82\x01", b"\x83\x01\x01", b"\x84\x01\x01\x01\x01"])
def test_extension_registry_is_not_asked(code: bytes) -> None:
    import copyreg

    copyreg.add_extension("tests.models.formats.pickle.test_hostile", "fire", 1)
    try:
        with pytest.raises(UnsafePickleError):
            interpret(b"\x80\x02" + code + text("x") + b"\x85R.")
    finally:
        copyreg.remove_extension("tests.models.formats.pickle.test_hostile", "fire", 1)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_classes_of_torch_are_not_built(tmp_path: Path, wrapped: bool, new: bool) -> None:
    """A whole module that was pickled is not run either: what helps is a file of its weights, not the same again."""
    path = tmp_path / "module.pth"
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.ReLU())
    torch.save({"epoch": 3, "model": module} if wrapped else module, path, _use_new_zipfile_serialization=new)
    identity = identify(path)
    assert identity.kind is Kind.UNKNOWN
    assert "whole network" in str(identity.problem)
    assert "state dict" in str(identity.advice)
    assert "download" not in str(problem_of(identity))


def test_getattr_of_a_detector_is_named_and_of_others_is_unsafe(tmp_path: Path) -> None:
    fetch = b"cbuiltins\ngetattr\n" + text("a") + text("b") + b"\x86R"
    detector = b"cultralytics.nn.tasks\nDetectionModel\n)R"
    path = tmp_path / "d.pt"
    path.write_bytes(containers(b"\x80\x02}(" + text("model") + detector + text("x") + fetch + b"u.")["zip.pth"])
    assert identify(path).kind is Kind.DETECTOR
    path.write_bytes(containers(b"\x80\x02}(" + text("x") + fetch + b"u.")["zip.pth"])
    assert identify(path).kind is Kind.UNSAFE


def test_a_second_pickle_of_the_same_name_is_refused(tmp_path: Path) -> None:
    """Readers differ on which of two entries of one name counts."""
    path = tmp_path / "two.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", b"cos\nsystem\n.")
    assert identify(path).kind is Kind.DAMAGED


def test_torchscript_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), str(path))
    assert identify(path).kind is Kind.TORCHSCRIPT


def _laughs(levels: int) -> bytes:
    """Each list holds the one before it ten times: ten to the power of `levels` items if it were expanded."""
    program = b"\x80\x02]" + text("lol") + b"aq\x00"
    for level in range(levels):
        program += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"eq" + bytes([level + 1])
    return program + b"."


EXHAUSTING = {
    "marks": b"\x80\x02" + b"(" * 100_000 + b".",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 400_000 + b".",
    "lists in lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "dictionaries in dictionaries": b"\x80\x02" + (b"}K\x01") * 200_000 + b"}" + b"s" * 200_000 + b".",
    "a tuple as key": b"\x80\x02}" + b")" + b"\x85" * 400_000 + b"K\x01s.",
    "billion laughs": _laughs(60),
    "a list of itself": b"\x80\x02]q\x00h\x00a.",
    "a dictionary of itself": b"\x80\x02}q\x00" + text("params") + b"h\x00s.",
    "a far place in the memo": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a long text": b"\x80\x02X\xff\xff\xff\xff" + b"a" * 100,
    "a longer text": b"\x80\x04\x8d" + b"\xff" * 8 + b"a" * 100,
    "a long number": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\x01" * 1000,
    "a number of many digits": b"I" + b"9" * 500_000 + b"\n.",
    "a frame": b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
    "duplicates": b"\x80\x02N" + b"2" * 400_000 + b".",
    "calls in calls": b"\x80\x02" + b"ccollections\nOrderedDict\n" * 1000 + b")" + b"R\x85" * 900 + b".",
    "rebuilding what rebuilds": (
        b"\x80\x02ctorch._utils\n_rebuild_parameter\nq\x00ctorch._tensor\n_rebuild_from_type_v2\nq\x01"
        + b"(h\x01N)Ntq\x02"
        + b"(h\x01Nh\x02Ntq\x02" * 10_000
        + b"R."
    ),
}


@pytest.mark.parametrize("way", EXHAUSTING)
def test_exhausting_pickles_end(tmp_path: Path, way: str) -> None:
    for file_name, content in list(containers(EXHAUSTING[way]).items())[:2]:
        path = tmp_path / file_name
        path.write_bytes(content)
        assert identify(path).kind in (Kind.DAMAGED, Kind.UNKNOWN, Kind.UNSAFE), file_name


def test_a_pickle_has_an_end() -> None:
    with pytest.raises(DamagedPickleError, match="too many"):
        interpret(b"N0" * (MAX_OPCODES // 2 + 1))


def _copying(call: bytes, content: bytes) -> bytes:
    """1,100 copies of a container of 1,000: more than a million elements of a few thousand bytes."""
    return b"\x80\x02" + content + b"q\x00](" + call * 1100 + b"e."


_NUMBERED = b"}(" + b"".join(b"M" + struct.pack("<H", number) + b"N" for number in range(1000)) + b"u"
_PAIRS = b"]q\x01N\x85q\x02](" + b"K\x01K\x02\x86" * 1000 + b"e"
_LONG_LIST = b"](" + b"K\x01" * 1000 + b"e"
COPYING = {
    "a dictionary of a dictionary": _copying(b"ccollections\nOrderedDict\nh\x00\x85R", _NUMBERED),
    "a dictionary of pairs": _copying(b"ccollections\nOrderedDict\nh\x00\x85R", _PAIRS),
    "a new object": _copying(b"cbuiltins\ndict\nh\x00\x85\x81", _NUMBERED),
    "an instance": _copying(b"(h\x00icollections\nCounter\n", _NUMBERED),
    "an old object": _copying(b"(ccollections\ndefaultdict\nh\x00o", _NUMBERED),
    "a size": _copying(b"ctorch\nSize\nh\x00\x85R", _LONG_LIST),
    "by way of a tensor": _copying(
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\nNh\x00\x85NtR", _NUMBERED
    ),
}


@pytest.mark.parametrize("way", COPYING)
def test_a_pickle_cannot_copy_without_end(way: str) -> None:
    """A few bytes of a pickle can copy all that it holds; within the limit of instructions, that was terabytes."""
    with pytest.raises(DamagedPickleError, match=r"over and over|without a function"):
        interpret(COPYING[way])


def _alike(count: int) -> list[int]:
    """Integers of one hash: each new one in a dictionary is compared with all before."""
    return [index * sys.hash_info.modulus + 1 for index in range(1 << 10, (1 << 10) + count)]


def test_keys_of_one_hash_are_not_collected() -> None:
    """A hundred thousand of them in a dictionary would take hours."""
    numbers = _alike(3)
    assert len({hash(number) for number in numbers}) == 1
    pairs = b"".join(b"L%dL\nN" % number for number in numbers)
    assert interpret(b"}(K\x05N" + pairs + b"u.").value == {5: None}
    listed = b"".join(b"L%dL\nN\x86" % number for number in numbers)
    assert interpret(b"ccollections\nOrderedDict\n](K\x05N\x86" + listed + b"e\x85R.").value == {5: None}
    with pytest.raises(DamagedPickleError, match="memo"):
        interpret(b"Np%d\n." % numbers[0])


def test_names_of_globals_are_not_joined_without_end() -> None:
    module = "ultralytics." + "x" * 1000
    with pytest.raises(DamagedPickleError, match="impossible name"):
        interpret(b"\x80\x04" + text(module) + text("Name") + b"\x93.")


def test_names_of_tensors_are_not_joined_without_end(tmp_path: Path) -> None:
    """One long key above many others: each joined name would hold it again."""
    path = tmp_path / "names.pth"
    torch.save({"x" * 100_000: [0] * 1000, "other": 1}, path)
    assert path.stat().st_size < 200_000
    with pytest.raises(DamagedFileError, match="impossible length"):
        read_checkpoint(path)


def test_a_tensor_has_no_more_sides_than_torch_allows() -> None:
    """The product of a hundred thousand large numbers would take hours."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
    sides = b"(" + b"K\x01" * 65 + b"t"
    with pytest.raises(DamagedPickleError, match="impossible shape"):
        interpret(b"\x80\x02ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x00" + sides * 2 + b"tR.")


def test_a_pickle_larger_than_any_list_of_weights_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"N" * (65 << 20))
    with pytest.raises(DamagedFileError, match="too large"):
        read_checkpoint(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux counts it")
def test_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """A tensor may repeat its storage; a file of a few bytes must not become gigabytes by that."""
    tensors = {f"w{index}": torch.zeros(1).expand(1 << 14, 1 << 13) for index in range(64)}
    path = tmp_path / "bomb.pth"
    torch.save(tensors, path)
    assert path.stat().st_size < 100_000
    assert identify(path).kind is Kind.DAMAGED


@pytest.mark.parametrize("number", ["99999999", "9" * 400])
def test_a_block_number_is_not_counted_up_to(tmp_path: Path, number: str) -> None:
    from tests.models import networks

    tensors = networks.weights("SwinIR")
    tensors[f"layers.{number}.residual_group.blocks.0.norm1.weight"] = torch.zeros(1)
    path = networks.save(tmp_path / "blocks.pth", tensors)
    assert identify(path).kind is Kind.DAMAGED
    with pytest.raises(DamagedFileError):
        load_network(path)


def test_tensors_of_safetensors_do_not_share_their_data(tmp_path: Path) -> None:
    """A thousand names for the same 4,000 bytes must not become a thousand times the memory."""
    entry = {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}
    half = {"dtype": "F32", "shape": [1000], "data_offsets": [2000, 6000]}
    for number, entries in enumerate(({f"w{index}": entry for index in range(1000)}, {"a": half, "b": entry})):
        header = json.dumps(entries).encode()
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(6000))
        with pytest.raises(DamagedFileError, match="claim the same data"):
            read_checkpoint(path)


def test_empty_tensors_of_safetensors_may_lie_anywhere(tmp_path: Path) -> None:
    entries = {
        "a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]},
        "b": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]},
    }
    header = json.dumps(entries).encode()
    path = tmp_path / "empty.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(40))
    assert {name: tuple(tensor.shape) for name, tensor in read_checkpoint(path).load().items()} == {
        "a": (10,),
        "b": (0, 3),
    }


def test_members_of_an_archive_do_not_share_their_data(tmp_path: Path) -> None:
    """A directory may name one place many times, each time as another storage."""
    tensors = {f"w{index}": torch.zeros(25_000) for index in range(20)}
    path = tmp_path / "shared.pth"
    torch.save(tensors, path)
    raw, small = path.read_bytes(), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(small, "w") as target:
        first: zipfile.ZipInfo | None = None
        for name in source.namelist():
            if "/data/" not in name or first is None:
                target.writestr(name, source.read(name))
                first = target.getinfo(name) if "/data/" in name else first
                continue
            again = copy.copy(first)
            again.filename = name
            target.filelist.append(again)
    path.write_bytes(small.getvalue())
    assert path.stat().st_size < len(raw) / 10
    assert identify(path).kind is Kind.DAMAGED
    with pytest.raises(DamagedFileError, match="larger than the file"):
        read_checkpoint(path)
