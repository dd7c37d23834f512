"""The instructions of a pickle that are rare in files of weights; the common ones are in `pickles.py`.

Floor: no torch. Source: the comments of CPython's pickletools.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lib_upscale.models.formats.pickle.allowed_globals import Global, is_key
from lib_upscale.models.formats.pickle.values import DamagedPickleError, Opaque, UnsafePickleError

if TYPE_CHECKING:
    from lib_upscale.models.formats.pickle.interpreter import Machine

__all__ = ["RARE", "call", "put"]

MAX_INT_BYTES = 64


def call(m: Machine, function: object, args: object) -> Any:
    """What a call in the pickle stands for."""
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


def put_all(target: object, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=False):
        put(target, key, value)


def _append(target: object, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is not Opaque:
        raise DamagedPickleError("items of something that is no list")


def _op_proto(m: Machine) -> None:
    if m.take(1)[0] > 5:
        raise DamagedPickleError("a pickle of a version that does not exist")


def _op_global(m: Machine) -> None:
    module = m.line()
    m.stack.append(m.find(module, m.line()))


def _op_stack_global(m: Machine) -> None:
    name = m.stack.pop()
    m.stack.append(m.find(m.stack.pop(), name))


def _op_extension(m: Machine) -> None:
    raise UnsafePickleError("an object of Python's extension registry")


def _op_inst(m: Machine) -> None:
    module = m.line()
    found = m.find(module, m.line())
    m.stack.append(call(m, found, tuple(m.since_mark())))


def _op_obj(m: Machine) -> None:
    items = m.since_mark()
    m.stack.append(call(m, items[0], tuple(items[1:])))


def _op_newobj(m: Machine) -> None:
    args = m.stack.pop()
    m.stack[-1] = call(m, m.stack[-1], args)


def _op_newobj_ex(m: Machine) -> None:
    m.stack.pop()
    _op_newobj(m)


def _op_build(m: Machine) -> None:
    """State for the object below it: attributes, which no value here has."""
    m.stack.pop()
    if not m.stack:
        raise DamagedPickleError("a state without an object")


def _op_setitems(m: Machine) -> None:
    items = m.since_mark()
    put_all(m.stack[-1], items)


def _op_append(m: Machine) -> None:
    item = m.stack.pop()
    _append(m.stack[-1], [item])


def _op_appends(m: Machine) -> None:
    items = m.since_mark()
    _append(m.stack[-1], items)


def _op_additems(m: Machine) -> None:
    m.since_mark()


def _op_dict(m: Machine) -> None:
    items = m.since_mark()
    made: dict[Any, Any] = {}
    put_all(made, items)
    m.stack.append(made)


def _op_list(m: Machine) -> None:
    m.stack.append(m.since_mark())


def _op_frozenset(m: Machine) -> None:
    m.since_mark()
    m.stack.append(Opaque("builtins.frozenset"))


def _op_pop(m: Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()


def _op_pop_mark(m: Machine) -> None:
    m.since_mark()


def _op_dup(m: Machine) -> None:
    m.stack.append(m.stack[-1])


def _op_memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


def _op_put(m: Machine) -> None:
    place = _decimal(m.line())
    if not 0 <= place < 1 << 32:
        raise DamagedPickleError("a place in the memo that does not exist")
    m.memo[place] = m.stack[-1]


def _op_get(m: Machine) -> None:
    m.stack.append(m.memo[_decimal(m.line())])


def _op_persid(m: Machine) -> None:
    raise DamagedPickleError("a reference to something that is no storage")


def _op_int(m: Machine) -> None:
    text = m.line()
    m.stack.append({"00": False, "01": True}[text] if text in ("00", "01") else _decimal(text))


def _op_long(m: Machine) -> None:
    m.stack.append(_decimal(m.line().rstrip("L")))


def _op_float(m: Machine) -> None:
    m.stack.append(float(m.line()))


def _op_string(m: Machine) -> None:
    text = m.line()
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        raise DamagedPickleError("text without quotation marks")
    m.stack.append(text[1:-1])


def _op_unicode(m: Machine) -> None:
    m.stack.append(m.line())


def _op_binfloat(m: Machine) -> None:
    m.stack.append(struct.unpack(">d", m.take(8))[0])


def _decimal(text: str) -> int:
    if len(text) > 40:
        raise DamagedPickleError("a number that is too long")
    return int(text)


def _integer(raw: bytes) -> int:
    if len(raw) > MAX_INT_BYTES:
        raise DamagedPickleError("a number that is too long")
    return int.from_bytes(raw, "little", signed=True)


def _push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(make(m))


def _op_frame(m: Machine) -> None:
    """A length that only helps those who read piece by piece."""
    m.take(8)


def _python2_text(raw: bytes) -> str:
    """Python 2 wrote text as bytes of no stated encoding."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


RARE: dict[int, Callable[[Machine], None]] = {
    0x80: _op_proto,
    0x95: _op_frame,
    ord("c"): _op_global,
    0x93: _op_stack_global,
    0x82: _op_extension,
    0x83: _op_extension,
    0x84: _op_extension,
    ord("i"): _op_inst,
    ord("o"): _op_obj,
    0x81: _op_newobj,
    0x92: _op_newobj_ex,
    ord("b"): _op_build,
    ord("u"): _op_setitems,
    ord("a"): _op_append,
    ord("e"): _op_appends,
    0x90: _op_additems,
    ord("d"): _op_dict,
    ord("l"): _op_list,
    0x91: _op_frozenset,
    ord("0"): _op_pop,
    ord("1"): _op_pop_mark,
    ord("2"): _op_dup,
    0x94: _op_memoize,
    ord("p"): _op_put,
    ord("g"): _op_get,
    ord("P"): _op_persid,
    ord("]"): _push(lambda m: []),
    0x8F: _push(lambda m: Opaque("builtins.set")),
    ord("N"): _push(lambda m: None),
    0x88: _push(lambda m: True),
    ord("I"): _op_int,
    ord("L"): _op_long,
    ord("F"): _op_float,
    ord("G"): _op_binfloat,
    0x8A: _push(lambda m: _integer(m.sized(1))),
    0x8B: _push(lambda m: _integer(m.sized(4))),
    ord("S"): _op_string,
    ord("V"): _op_unicode,
    ord("U"): _push(lambda m: _python2_text(m.sized(1))),
    ord("T"): _push(lambda m: _python2_text(m.sized(4))),
    0x8C: _push(lambda m: m.sized(1).decode("utf-8")),
    0x8D: _push(lambda m: m.sized(8).decode("utf-8")),
    ord("C"): _push(lambda m: m.sized(1)),
    ord("B"): _push(lambda m: m.sized(4)),
    0x8E: _push(lambda m: m.sized(8)),
    0x96: _push(lambda m: m.sized(8)),
}
