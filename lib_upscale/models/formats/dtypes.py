"""Element types of tensors by name, so that a file can be read without torch.

A type is named as torch names it: "float32", "bfloat16", "int64".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["SAFETENSORS_CODES", "SIZES", "STORAGE_CLASSES", "UnknownDtypeError", "torch_dtype"]

SIZES: dict[str, int] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
}
"""Bytes of one element."""

SAFETENSORS_CODES: dict[str, str] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "U64": "uint64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
"""What a safetensors header calls them. Source: the format's own documentation."""

STORAGE_CLASSES: dict[str, str | None] = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    # Without a type of their own: the tensor that uses them says what they hold.
    "UntypedStorage": None,
    "_UntypedStorage": None,
}
"""The classes that stand for a storage in a pickle that torch wrote, and what they hold."""


class UnknownDtypeError(Exception):
    """A type that this torch is too old to know."""


def torch_dtype(name: str) -> torch.dtype:
    """The torch type called `name`. Raises `UnknownDtypeError`."""
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise UnknownDtypeError(f"torch {torch.__version__} has no type {name}")
    return found
