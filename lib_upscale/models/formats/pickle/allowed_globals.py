"""The names that a pickle may ask for, and what a call of each gives. None is ever imported.

Needs no torch. Source of torch's names and their arguments: torch/_utils.py and torch/_tensor.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from lib_upscale.models.formats.dtypes import SIZES, STORAGE_CLASSES
from lib_upscale.models.formats.pickle.values import (
    DamagedPickleError,
    Opaque,
    StorageRef,
    TensorRef,
    UnsafePickleError,
)

__all__ = ["KNOWN", "Global", "check_tensor", "is_key", "make_inert"]


class Global:
    """A name that the pickle asked for. Calling it in the pickle runs `build`, a function of this file."""

    __slots__ = ("build", "copies", "name", "storage")

    def __init__(self, name: str, build: Callable[[Any], Any], storage: bool = False) -> None:
        self.name = name
        self.build = build
        self.copies = build in (_ordered_dict, _size)
        """Whether its result is a copy of its last argument, as large as that is."""
        self.storage = storage


_SIMPLE = frozenset({str, int, float, bool, type(None), bytes})
"""Types that may be keys of a dictionary: hashing them cannot recurse."""

_LARGEST_KEY = 1 << 64
"""Any number of larger integers can have one hash; a dictionary would compare each of them with all others."""

_MAX_SIDES = 64
"""torch's own limit. Numbers multiplied without one would grow, and take time, without one."""


def is_key(value: object) -> bool:
    """Whether a dictionary can have `value` as a key at no unusual cost."""
    kind = type(value)
    return kind is str or (kind in _SIMPLE and (kind is not int or abs(value) < _LARGEST_KEY))  # type: ignore[arg-type]


def check_tensor(storage: object, dtype: str | None, offset: object, shape: object, stride: object) -> TensorRef:
    """Describe a view of a storage. Raises `DamagedPickleError` where any of it lies outside the storage."""
    if type(storage) is not StorageRef or type(offset) is not int or offset < 0:
        raise DamagedPickleError("a tensor without a storage")
    if type(shape) is not tuple or type(stride) is not tuple or len(shape) != len(stride):
        raise DamagedPickleError("a tensor without a shape")
    if len(shape) > _MAX_SIDES:
        raise DamagedPickleError("a tensor of impossible shape")
    dtype = dtype or storage.dtype or "uint8"
    size, last = 1, offset
    for side, step in zip(shape, stride, strict=True):
        if type(side) is not int or type(step) is not int or side < 0 or step < 0:
            raise DamagedPickleError("a tensor of impossible shape")
        size *= side
        last += (side - 1) * step
    numel = storage.numel if dtype == storage.dtype else storage.numel * _width(storage.dtype) // SIZES[dtype]
    if size and last >= numel:
        raise DamagedPickleError("a tensor that is outside its storage")
    return TensorRef(storage, dtype, offset, shape, stride)


def _width(dtype: str | None) -> int:
    return 1 if dtype is None else SIZES[dtype]


def _rebuild_tensor(args: Any) -> Any:
    return check_tensor(args[0], None, args[1], args[2], args[3])


def _rebuild_tensor_v3(args: Any) -> Any:
    storage, offset, shape, stride, _requires_grad, _hooks, dtype = args[:7]
    if type(dtype) is not Global or not dtype.name.startswith("torch."):
        raise DamagedPickleError("a tensor without a type")
    name = dtype.name[len("torch.") :]
    if name not in SIZES:
        return Opaque(dtype.name)
    return check_tensor(storage, name, offset, shape, stride)


def _rebuild_parameter(args: Any) -> Any:
    return args[0]


def _rebuild_from_type(args: Any) -> Any:
    """`(function, type, arguments, state)`: a tensor that carries attributes. Only the tensor is wanted."""
    function, arguments = args[0], args[2]
    if type(function) is not Global or type(arguments) is not tuple:
        raise DamagedPickleError("a tensor without a function to build it")
    if function.copies or function.build is _rebuild_from_type:
        raise DamagedPickleError("a tensor without a function to build it")
    return function.build(arguments)


def _ordered_dict(args: Any) -> dict[Any, Any]:
    """A dict: empty, of pairs (as Python 2 wrote them), or of another dict."""
    result: dict[Any, Any] = {}
    content = args[-1] if args else None
    if type(content) is dict:
        return dict(content)
    if type(content) is list:
        for pair in content:
            if type(pair) in (tuple, list) and len(pair) == 2 and is_key(pair[0]):
                result[pair[0]] = pair[1]
    return result


def _size(args: Any) -> Any:
    if len(args) != 1 or type(args[0]) not in (tuple, list):
        raise DamagedPickleError("a size without numbers")
    return tuple(args[0])


def _table() -> dict[tuple[str, str], Global]:
    known: dict[tuple[str, str], Callable[[Any], Any]] = {
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
        ("torch._tensor", "_rebuild_from_type"): _rebuild_from_type,
        ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
        ("torch", "Size"): _size,
    }
    for module in ("collections", "typing"):
        known[module, "OrderedDict"] = _ordered_dict
    for name in ("Counter", "defaultdict"):
        known["collections", name] = _ordered_dict
    for module in ("builtins", "__builtin__"):
        known[module, "dict"] = _ordered_dict
    table = {key: Global(".".join(key), build) for key, build in known.items()}
    for name in STORAGE_CLASSES:
        for module in ("torch", "torch.storage", "torch.cuda"):
            table[module, name] = Global(f"{module}.{name}", _placeholder(f"{module}.{name}"), storage=True)
    return table


def _placeholder(name: str) -> Callable[[Any], Any]:
    return lambda args: Opaque(name)


KNOWN = _table()

_INERT_NAMES: dict[str, frozenset[str]] = {
    "torch": frozenset(
        {*SIZES, "half", "float", "double", "long", "int", "short", "device", "Tensor", "strided", "Generator"}
        | {"qint8", "quint8", "qint32", "contiguous_format", "channels_last", "preserve_format"}
        | {"per_tensor_affine", "per_channel_affine"}
        | {"QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage"}
    ),
    "torch._utils": frozenset(
        {"_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_nested_tensor", "_rebuild_meta_tensor_no_storage"}
        | {"_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_xla_tensor"}
        | {"_rebuild_wrapper_subclass"}
    ),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.nn.parameter": frozenset({"Parameter", "Buffer", "UninitializedParameter"}),
    "torch.optim.lr_scheduler": frozenset({"LambdaLR", "MultiStepLR", "CosineAnnealingLR"}),
    "torch._C": frozenset({"Generator", "Size"}),
    "collections": frozenset({"deque"}),
    "argparse": frozenset({"Namespace"}),
    "types": frozenset({"SimpleNamespace"}),
    "datetime": frozenset({"datetime", "date", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "uuid": frozenset({"UUID"}),
    "_codecs": frozenset({"encode"}),
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "numpy": frozenset(
        {"dtype", "ndarray", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64"}
        | {"uint8", "uint16", "uint32", "uint64"}
    ),
}
for _numpy in ("numpy.core", "numpy._core"):
    _INERT_NAMES[f"{_numpy}.multiarray"] = frozenset({"scalar", "_reconstruct"})
    _INERT_NAMES[f"{_numpy}.numeric"] = frozenset({"_frombuffer"})
_BUILTIN_TYPES = (
    "set frozenset complex bytearray bytes slice range int long float str unicode list tuple bool object type"
)
for _builtins in ("builtins", "__builtin__"):
    _INERT_NAMES[_builtins] = frozenset(_BUILTIN_TYPES.split())

_INERT_MODULES = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf|ultralytics|torch\.nn\.modules"
    r"|models\.(yolo|common|experimental))(\.|$)|(pathlib(\._local)?|numpy\.dtypes)$"
)
_DETECTOR_MODULES = ("ultralytics", "models.yolo")
_BUILTIN_MODULES = ("builtins", "__builtin__")


def make_inert(module: str, name: str, seen: Iterable[str]) -> Global:
    """Make a placeholder for a name that is known to be harmless.

    Args:
        module: Of the global.
        name: Of the global.
        seen: The modules that the pickle has mentioned before.

    Raises:
        UnsafePickleError: For any other name.
    """
    full = f"{module}.{name}"
    harmless = name in _INERT_NAMES.get(module, ()) or (_INERT_MODULES.match(module) and "." not in name)
    # Detectors are pickled whole and restore bound methods so. Nothing is fetched here either;
    # in any other file the name is a reason to refuse it.
    if name == "getattr" and module in _BUILTIN_MODULES:
        harmless = any(earlier.startswith(_DETECTOR_MODULES) for earlier in seen)
    if not harmless:
        raise UnsafePickleError(full)
    return Global(full, _placeholder(full))
