"""The loop that executes a pickle's instructions. Needs no torch.

Source of the instructions: the comments of CPython's pickletools.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from lib_upscale.models.formats.pickle.allowed_globals import KNOWN, check_tensor
from lib_upscale.models.formats.pickle.machine import MAX_MARKS, MAX_OPCODES, Machine
from lib_upscale.models.formats.pickle.opcodes import RARE, call, put
from lib_upscale.models.formats.pickle.values import DamagedPickleError, TruncatedPickleError

__all__ = ["execute"]

_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from

_WHOLE_TENSOR = re.compile(
    # (("storage", class, key, device, elements), offset, shape, stride, False, OrderedDict()), called
    rb"""\(\( %(get)b %(get)b X(....)([0-9]{1,40}) %(put)b %(get)b %(int)b (N?)t %(put)b Q
    %(int)b %(ints)b %(put)b %(ints)b %(put)b \x89 %(get)b \)R %(put)b t %(put)b R %(put)b"""
    % {
        b"get": rb"(h.|j....)",
        b"put": rb"(q.|r....)",
        b"int": rb"(K.|M..|J....)",
        b"ints": rb"(\(?(?:K.|M..|J....){1,8}[t\x85-\x87])",
    },
    re.DOTALL | re.VERBOSE,
)
_REBUILD = KNOWN["torch._utils", "_rebuild_tensor_v2"]
_ORDERED_DICT = KNOWN["collections", "OrderedDict"]


def execute(machine: Machine) -> Any:
    """Execute instructions until STOP.

    Returns:
        The value on top of the stack; `machine.position` is then behind the instruction STOP.

    Raises:
        DamagedPickleError, UnsafePickleError: The pickle is not one of weights.
        LookupError, struct.error, ValueError, TypeError, AttributeError: It contradicts itself.
    """
    # The commonest instructions are here, in order of how often torch writes them, the others in a table: a call for
    # each of the thirty thousand in a large file would double the time.
    data, stack, marks, memo = machine.data, machine.stack, machine.marks, machine.memo
    position, size = machine.position, len(machine.data)
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
                    position = _whole_tensor(machine, position)
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
                stack[-1] = call(machine, stack[-1], args)
            elif op == 0x51:  # BINPERSID
                stack[-1] = machine.refer_to_storage(stack[-1])
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
                machine.position = position
                return stack.pop()
            else:
                machine.position = position
                RARE[op](machine)
                position = machine.position
    except (IndexError, struct.error) as error:
        # Where the pickle ends, or where it takes from an empty stack: the position tells which.
        if max(position, machine.position) > size - 8:
            raise TruncatedPickleError("a pickle that ends too early") from error
        raise
    raise DamagedPickleError("a pickle with too many instructions")


def _whole_tensor(machine: Machine, position: int) -> int:
    """Execute at once the forty instructions that follow the fetching of `_rebuild_tensor_v2`.

    The effect on stack and memo is that of the instructions one by one.

    Returns:
        The position behind them; the same one, with nothing done, where they are other than torch writes them.
    """
    match = _WHOLE_TENSOR.match(machine.data, position)
    if match is None:
        return position
    (word, kind, length, key, n1, device, numel, window, n2, offset, shape, n3, stride, n4, hooks, n5, n6, n7) = (
        match.groups()
    )
    memo, sizes = machine.memo, machine.sizes
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
    storage = machine.refer_to_storage(pid)
    memo[_index(n3)] = dimensions
    memo[_index(n4)] = steps
    memo[_index(n5)] = no_hooks = {}  # type: ignore[var-annotated]
    start = sizes[offset][0]  # type: ignore[index]
    memo[_index(n6)] = (storage, start, dimensions, steps, False, no_hooks)
    memo[_index(n7)] = machine.stack[-1] = check_tensor(storage, None, start, dimensions, steps)
    return match.end()


def _index(instruction: bytes) -> int:
    """Read the place in the memo that a BINGET, LONG_BINGET, BINPUT or LONG_BINPUT names."""
    if len(instruction) == 2:
        return instruction[1]
    index: int = _U32(instruction, 1)[0]
    return index


def _unpack_sizes(packed: bytes) -> tuple[int, ...] | None:
    """Read the integers that a run of BININT, BININT1 and BININT2 pushes; None where its end does not fit them."""
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
