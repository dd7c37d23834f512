"""Reads pickles that torch wrote, without executing them.

A pickle is a program for a small stack machine, and two of its instructions (fetch a global, call
it) are all that an attacker needs. This machine has neither: a global is a name that is looked up in
a table here and never imported, and a call of one builds a description of a tensor, a plain container
or a placeholder that does nothing. Whatever is not in the table ends the reading.

Source of the instructions: the comments of CPython's pickletools.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_upscale.models.formats.dtypes import STORAGE_CLASSES
from lib_upscale.models.formats.pickle.allowed_globals import KNOWN, Global, inert, tensor
from lib_upscale.models.formats.pickle.opcodes import RARE, call, put
from lib_upscale.models.formats.pickle.values import (
    DamagedPickleError,
    Opaque,
    StorageRef,
    TensorRef,
    TruncatedPickleError,
    UnsafePickleError,
)

__all__ = [
    "MAX_BYTES",
    "MAX_OPCODES",
    "DamagedPickleError",
    "Opaque",
    "Reading",
    "StorageRef",
    "TensorRef",
    "TruncatedPickleError",
    "UnsafePickleError",
    "interpret",
]

MAX_BYTES = 64 << 20
MAX_OPCODES = 1_000_000
"""The largest checkpoints in use, with the state of their training, need a tenth of it."""
MAX_COPIED = MAX_OPCODES
"""Elements of containers that calls copy. A file that copies what it wrote once needs no more than it has instructions;
without a bound, ten bytes of it could copy the whole again, as often as there are instructions."""
MAX_MARKS = 256
MAX_NAME = 256
"""Letters of a global's module and name, which are joined at every fetching of a new one."""

_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from

_FETCH = rb"(h.|j....)"
_NOTE = rb"(q.|r....)"
_INT = rb"(K.|M..|J....)"
_INTS = rb"(\(?(?:K.|M..|J....){1,8}[t\x85-\x87])"
_WHOLE_TENSOR = re.compile(
    # (("storage", class, key, device, elements), offset, shape, stride, False, OrderedDict()), called
    rb"\(\(" + _FETCH + _FETCH + rb"X(....)([0-9]{1,40})" + _NOTE + _FETCH + _INT + rb"(N?)t" + _NOTE + rb"Q"
    + _INT + _INTS + _NOTE + _INTS + _NOTE + rb"\x89" + _FETCH + rb"\)R" + _NOTE + rb"t" + _NOTE + rb"R" + _NOTE,
    re.DOTALL,
)  # fmt: skip
_REBUILD = KNOWN["torch._utils", "_rebuild_tensor_v2"]
_ORDERED_DICT = KNOWN["collections", "OrderedDict"]


def _index(instruction: bytes) -> int:
    """The place in the memo that a BINGET, LONG_BINGET, BINPUT or LONG_BINPUT names."""
    if len(instruction) == 2:
        return instruction[1]
    index: int = _U32(instruction, 1)[0]
    return index


def _unpack_sizes(packed: bytes) -> tuple[int, ...] | None:
    """The integers that a run of BININT, BININT1 and BININT2 pushes; None where its end does not fit them."""
    position, marked = (1, True) if packed[0] == 0x28 else (0, False)
    numbers: list[int] = []
    while position < len(packed):
        op = packed[position]
        if op == 0x4B:
            numbers.append(packed[position + 1])
            position += 2
        elif op == 0x4D:
            numbers.append(_U16(packed, position + 1)[0])
            position += 3
        elif op == 0x4A:
            numbers.append(_I32(packed, position + 1)[0])
            position += 5
        else:
            fits = marked if op == 0x74 else not marked and len(numbers) == op - 0x84
            return tuple(numbers) if fits else None
    return tuple(numbers)


class Machine:
    """The stack machine. Its values are plain containers and the classes above, nothing else."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}
        self.storages: dict[str, tuple[str | None, int]] = {}
        self.sizes: dict[bytes, tuple[int, ...] | None] = {}
        self.copied = 0

    def run(self) -> Any:
        """Execute until STOP; `position` is then behind it.

        The commonest instructions are here, in order of how often torch writes them, the others in a
        table: a call for each of the thirty thousand in a large file would double the time.
        """
        data, stack, marks, memo = self.data, self.stack, self.marks, self.memo
        position, size = self.position, len(self.data)
        try:
            for _ in range(MAX_OPCODES):
                op = data[position]
                position += 1
                if op == 0x72:  # LONG_BINPUT
                    memo[_U32(data, position)[0]] = stack[-1]
                    position += 4
                elif op == 0x71:  # BINPUT
                    memo[data[position]] = stack[-1]
                    position += 1
                elif op == 0x4B:  # BININT1
                    stack.append(data[position])
                    position += 1
                elif op == 0x68:  # BINGET
                    value = memo[data[position]]
                    position += 1
                    stack.append(value)
                    if value is _REBUILD:
                        position = self.whole_tensor(position)
                elif op == 0x28:  # MARK
                    marks.append(len(stack))
                    if len(marks) > MAX_MARKS:
                        raise DamagedPickleError("a pickle that is nested too deeply")
                elif op == 0x74:  # TUPLE
                    start = marks.pop()
                    items = tuple(stack[start:])
                    del stack[start:]
                    stack.append(items)
                elif op == 0x73:  # SETITEM
                    value = stack.pop()
                    key = stack.pop()
                    put(stack[-1], key, value)
                elif op == 0x7D:  # EMPTY_DICT
                    stack.append({})
                elif op == 0x4D:  # BININT2
                    stack.append(_U16(data, position)[0])
                    position += 2
                elif op == 0x58:  # BINUNICODE
                    end = position + 4 + _U32(data, position)[0]
                    if end > len(data):
                        raise TruncatedPickleError
                    stack.append(str(data[position + 4 : end], "utf-8"))
                    position = end
                elif op == 0x52:  # REDUCE
                    args = stack.pop()
                    stack[-1] = call(self, stack[-1], args)
                elif op == 0x51:  # BINPERSID
                    stack[-1] = self.storage(stack[-1])
                elif op == 0x89:  # NEWFALSE
                    stack.append(False)
                elif op == 0x29:  # EMPTY_TUPLE
                    stack.append(())
                elif op == 0x4A:  # BININT
                    stack.append(_I32(data, position)[0])
                    position += 4
                elif op == 0x6A:  # LONG_BINGET
                    stack.append(memo[_U32(data, position)[0]])
                    position += 4
                elif op == 0x85:  # TUPLE1
                    stack[-1] = (stack[-1],)
                elif op == 0x86:  # TUPLE2
                    stack[-2:] = [tuple(stack[-2:])]
                elif op == 0x87:  # TUPLE3
                    stack[-3:] = [tuple(stack[-3:])]
                elif op == 0x2E:  # STOP
                    self.position = position
                    return stack.pop()
                else:
                    self.position = position
                    RARE[op](self)
                    position = self.position
        except (IndexError, struct.error) as error:
            # Where the pickle ends, or where it takes from an empty stack: the position tells which.
            if max(position, self.position) > size - 8:
                raise TruncatedPickleError("a pickle that ends too early") from error
            raise
        raise DamagedPickleError("a pickle with too many instructions")

    def whole_tensor(self, position: int) -> int:
        """Do at one stroke the forty instructions that follow the fetching of `_rebuild_tensor_v2`.

        Returns the position behind them; the same one, with nothing done, where they are other than torch
        writes them. The effect on stack and memo is that of the instructions one by one.
        """
        found = _WHOLE_TENSOR.match(self.data, position)
        if found is None:
            return position
        (word, kind, length, key, n1, device, numel, window, n2, offset, shape, n3, stride, n4, hooks, n5, n6, n7) = (
            found.groups()
        )
        memo, sizes = self.memo, self.sizes
        for packed in (numel, offset, shape, stride):
            if packed not in sizes:
                sizes[packed] = _unpack_sizes(packed)
        dimensions, steps = sizes[shape], sizes[stride]
        if dimensions is None or steps is None or _U32(length)[0] != len(key):
            return position
        if memo[_index(hooks)] is not _ORDERED_DICT:
            return position
        name = key.decode("ascii")
        memo[_index(n1)] = name
        pid: tuple[Any, ...] = (memo[_index(word)], memo[_index(kind)], name, memo[_index(device)], sizes[numel][0])  # type: ignore[index]
        if window:
            pid = (*pid, None)
        memo[_index(n2)] = pid
        storage = self.storage(pid)
        memo[_index(n3)] = dimensions
        memo[_index(n4)] = steps
        memo[_index(n5)] = no_hooks = {}  # type: ignore[var-annotated]
        start = sizes[offset][0]  # type: ignore[index]
        memo[_index(n6)] = (storage, start, dimensions, steps, False, no_hooks)
        memo[_index(n7)] = self.stack[-1] = tensor(storage, None, start, dimensions, steps)
        return found.end()

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise TruncatedPickleError
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def sized(self, width: int) -> bytes:
        """Bytes that follow their own length, an unsigned number of `width` bytes."""
        return self.take(int.from_bytes(self.take(width), "little"))

    def line(self) -> str:
        """The text up to the next newline."""
        end = self.data.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise TruncatedPickleError
        text = self.data[self.position : end]
        self.position = end + 1
        return text.decode("utf-8")

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark, popped."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def count_copy(self, content: object) -> None:
        """Called before a container is copied. Raises `DamagedPickleError` where that was too much in all."""
        if type(content) in (dict, list):
            self.copied += len(content)  # type: ignore[arg-type]
            if self.copied > MAX_COPIED:
                raise DamagedPickleError("a pickle that copies its contents over and over")

    def storage(self, reference: object) -> Any:
        """The storage that a persistent id names: ("storage", class, key, device, elements[, window]).

        Before 1.6 torch named the classes of networks so too, with their source: ("module", class, file, text).
        """
        if type(reference) is tuple and len(reference) == 4 and reference[0] == "module":
            return reference[1]
        if type(reference) is not tuple or len(reference) < 5 or reference[0] != "storage":
            raise DamagedPickleError("a reference to something that is no storage")
        kind, key, numel = reference[1], reference[2], reference[4]
        if type(kind) is not Global or type(key) is not str or type(numel) is not int or numel < 0:
            raise DamagedPickleError("a storage without a description")
        if not kind.storage:
            raise DamagedPickleError(f"a storage of type {kind.name}, which is not supported")
        dtype = STORAGE_CLASSES[kind.name.rpartition(".")[2]]
        if self.storages.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise DamagedPickleError("a storage with two descriptions")
        window = reference[5] if len(reference) > 5 else None
        if window is None:
            return StorageRef(key, dtype, numel)
        view_key, start, view_numel = window
        if type(view_key) is not str or type(start) is not int or type(view_numel) is not int:
            raise DamagedPickleError("a storage without a description")
        if start < 0 or view_numel < 0 or start + view_numel > numel:
            raise DamagedPickleError("a storage outside its file")
        return StorageRef(key, dtype, view_numel, start)

    def find(self, module: object, name: object) -> Global:
        """The description of a global. Raises `UnsafePickleError` for one that is neither known nor inert."""
        if type(module) is not str or type(name) is not str:
            raise DamagedPickleError("a global without a name")
        if len(module) + len(name) > MAX_NAME:
            raise DamagedPickleError("a global with an impossible name")
        key = (module, name)
        found = self.globals.get(key)
        if found is None:
            self.globals[key] = found = KNOWN.get(key) or inert(module, name, (earlier for earlier, _ in self.globals))
        return found


@dataclass(frozen=True)
class Reading:
    """What one pickle says."""

    value: Any
    """Plain containers, `TensorRef`, `StorageRef` and `Opaque`."""
    end: int
    """The position behind it."""
    names: frozenset[str]
    """The globals that it mentions, "module.name"."""
    storages: Mapping[str, tuple[str | None, int]]
    """Every storage that it mentions: key -> type and number of elements."""


def interpret(data: bytes, position: int = 0) -> Reading:
    """Read the pickle that begins at `position`.

    Raises `UnsafePickleError`, `TruncatedPickleError` or `DamagedPickleError`, and nothing else, whatever the bytes
    are.
    """
    machine = Machine(data, position)
    try:
        value = machine.run()
    except (DamagedPickleError, UnsafePickleError):
        raise
    except (LookupError, struct.error, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise DamagedPickleError("a pickle that contradicts itself") from error
    names = frozenset(known.name for known in machine.globals.values())
    return Reading(value, machine.position, names, machine.storages)
