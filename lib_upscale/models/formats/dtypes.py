"""Element types of tensors by name, so that a file can be read without torch.

A type is named as torch names it: "float32", "bfloat16", "int64".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["SAFETENSORS_CODES", "SIZES", "STORAGE_CLASSES", "UnknownDtypeError", "torch_dtype"]

SIZES: dict[str, int] = {
    name: size
    for size, names in (
        (1, "bool uint8 int8 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"),
        (2, "int16 uint16 float16 bfloat16"),
        (4, "int32 uint32 float32 complex32"),
        (8, "int64 uint64 float64 complex64"),
        (16, "complex128"),
    )
    for name in names.split()
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
    """Raised for a type that this torch is too old to know."""


def torch_dtype(name: str) -> torch.dtype:
    """Get the torch type called `name`. Raises `UnknownDtypeError`."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise UnknownDtypeError(f"torch {torch.__version__} has no type {name}")
    return dtype
