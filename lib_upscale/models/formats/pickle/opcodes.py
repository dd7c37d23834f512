"""The instructions of a pickle that are rare in files of weights; the common ones are in `execute`. Needs no torch.

Source: the comments of CPython's pickletools.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from lib_upscale.models.formats.pickle.allowed_globals import Global, is_key
from lib_upscale.models.formats.pickle.machine import Machine
from lib_upscale.models.formats.pickle.values import DamagedPickleError, Opaque, UnsafePickleError

__all__ = ["RARE", "call", "put"]

MAX_INT_BYTES = 64


def call(m: Machine, function: object, args: object) -> Any:
    """Give what a call in the pickle stands for; nothing is called but the functions of `allowed_globals`."""
    if type(function) is Global and type(args) is tuple:
        if function.copies and args:
            m.count_copy(args[-1])
        return function.build(args)
    if type(function) is Opaque:
        return function
    raise DamagedPickleError("a call of something that is no function")


def put(target: object, key: object, value: object) -> None:
    """Store a value in a dict; a placeholder forgets it."""
    if type(target) is dict:
        # A tuple as a key would have to be hashed, which recurses into it without a limit.
        if is_key(key):
            target[key] = value
    elif type(target) is not Opaque:
        raise DamagedPickleError("entries of something that is no dictionary")


def _put_all(target: object, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=False):
        put(target, key, value)


def _extend(target: object, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is not Opaque:
        raise DamagedPickleError("items of something that is no list")


def _proto(m: Machine) -> None:
    if m.take(1)[0] > 5:
        raise DamagedPickleError("a pickle of a version that does not exist")


def _global(m: Machine) -> Global:
    module = m.take_line()
    return m.find_global(module, m.take_line())


def _stack_global(m: Machine) -> Global:
    name = m.stack.pop()
    return m.find_global(m.stack.pop(), name)


def _extension(m: Machine) -> None:
    raise UnsafePickleError("an object of Python's extension registry")


def _inst(m: Machine) -> Any:
    function = _global(m)
    return call(m, function, tuple(m.pop_mark()))


def _obj(m: Machine) -> Any:
    items = m.pop_mark()
    return call(m, items[0], tuple(items[1:]))


def _newobj(m: Machine) -> None:
    args = m.stack.pop()
    m.stack[-1] = call(m, m.stack[-1], args)


def _newobj_ex(m: Machine) -> None:
    m.stack.pop()
    _newobj(m)


def _build(m: Machine) -> None:
    """State for the object below it: attributes, which no value here has."""
    m.stack.pop()
    if not m.stack:
        raise DamagedPickleError("a state without an object")


def _setitems(m: Machine) -> None:
    items = m.pop_mark()
    _put_all(m.stack[-1], items)


def _append(m: Machine) -> None:
    item = m.stack.pop()
    _extend(m.stack[-1], [item])


def _appends(m: Machine) -> None:
    items = m.pop_mark()
    _extend(m.stack[-1], items)


def _dict(m: Machine) -> dict[Any, Any]:
    items = m.pop_mark()
    result: dict[Any, Any] = {}
    _put_all(result, items)
    return result


def _frozenset(m: Machine) -> Opaque:
    m.pop_mark()
    return Opaque("builtins.frozenset")


def _pop(m: Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()


def _memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


def _put(m: Machine) -> None:
    place = _decimal(m.take_line())
    if not 0 <= place < 1 << 32:
        raise DamagedPickleError("a place in the memo that does not exist")
    m.memo[place] = m.stack[-1]


def _persid(m: Machine) -> None:
    raise DamagedPickleError("a reference to something that is no storage")


def _int(m: Machine) -> int:
    text = m.take_line()
    return {"00": False, "01": True}[text] if text in ("00", "01") else _decimal(text)


def _string(m: Machine) -> str:
    text = m.take_line()
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        raise DamagedPickleError("text without quotation marks")
    return text[1:-1]


def _decimal(text: str) -> int:
    if len(text) > 40:
        raise DamagedPickleError("a number that is too long")
    return int(text)


def _integer(raw: bytes) -> int:
    if len(raw) > MAX_INT_BYTES:
        raise DamagedPickleError("a number that is too long")
    return int.from_bytes(raw, "little", signed=True)


def _python2_text(raw: bytes) -> str:
    """Python 2 wrote text as bytes of no stated encoding."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


_PUSHING: dict[int, Callable[[Machine], Any]] = {
    ord("c"): _global,
    0x93: _stack_global,
    ord("i"): _inst,
    ord("o"): _obj,
    ord("d"): _dict,
    ord("l"): Machine.pop_mark,
    0x91: _frozenset,
    ord("2"): lambda m: m.stack[-1],
    ord("g"): lambda m: m.memo[_decimal(m.take_line())],
    ord("]"): lambda m: [],
    0x8F: lambda m: Opaque("builtins.set"),
    ord("N"): lambda m: None,
    0x88: lambda m: True,
    ord("I"): _int,
    ord("L"): lambda m: _decimal(m.take_line().rstrip("L")),
    ord("F"): lambda m: float(m.take_line()),
    ord("G"): lambda m: struct.unpack(">d", m.take(8))[0],
    0x8A: lambda m: _integer(m.take_sized(1)),
    0x8B: lambda m: _integer(m.take_sized(4)),
    ord("S"): _string,
    ord("V"): Machine.take_line,
    ord("U"): lambda m: _python2_text(m.take_sized(1)),
    ord("T"): lambda m: _python2_text(m.take_sized(4)),
    0x8C: lambda m: m.take_sized(1).decode("utf-8"),
    0x8D: lambda m: m.take_sized(8).decode("utf-8"),
    ord("C"): lambda m: m.take_sized(1),
    ord("B"): lambda m: m.take_sized(4),
    0x8E: lambda m: m.take_sized(8),
    0x96: lambda m: m.take_sized(8),
}
"""Instructions that push the function's result."""


def _push(compute: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(compute(m))


RARE: dict[int, Callable[[Machine], object]] = {
    0x80: _proto,
    0x95: lambda m: m.take(8),  # FRAME: a length that only helps those who read piece by piece
    0x82: _extension,
    0x83: _extension,
    0x84: _extension,
    0x81: _newobj,
    0x92: _newobj_ex,
    ord("b"): _build,
    ord("u"): _setitems,
    ord("a"): _append,
    ord("e"): _appends,
    0x90: Machine.pop_mark,  # ADDITEMS: to a set, which is a placeholder
    ord("0"): _pop,
    ord("1"): Machine.pop_mark,
    0x94: _memoize,
    ord("p"): _put,
    ord("P"): _persid,
    **{op: _push(compute) for op, compute in _PUSHING.items()},
}
