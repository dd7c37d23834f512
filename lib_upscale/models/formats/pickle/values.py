"""The values of the pickle interpreter besides plain containers, and its errors. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lib_upscale.models.formats.checkpoint import DamagedContentError, TruncatedContentError, UnsafeContentError

__all__ = ["DamagedPickleError", "Opaque", "StorageRef", "TensorRef", "TruncatedPickleError", "UnsafePickleError"]


class DamagedPickleError(DamagedContentError):
    """Raised when bytes are no pickle of tensors. The message names what it found: "a number that is too long"."""

    def __str__(self) -> str:
        return f"it holds {super().__str__()}"


class TruncatedPickleError(DamagedPickleError, TruncatedContentError):
    """Raised when the bytes end before the pickle does."""


class UnsafePickleError(UnsafeContentError):
    """Raised when a pickle asks for a global that has no business in a file of weights: `args[0]` names it."""


@dataclass(slots=True, eq=False)
class Opaque:
    """Something known to be harmless and of no use here: its name is kept, its content is not."""

    name: str


@dataclass(slots=True, eq=False)
class StorageRef:
    """A storage that the pickle refers to: `numel` elements of `dtype`, or bytes where that is None."""

    key: str
    dtype: str | None
    numel: int
    start: int = 0
    """Where it begins, in elements: files of torch 0.x name windows of a larger storage."""


@dataclass(slots=True, eq=False)
class TensorRef:
    """A tensor that the pickle refers to: a view of a storage. Offset and strides are in elements."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
