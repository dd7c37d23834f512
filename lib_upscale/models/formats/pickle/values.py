"""What the pickle reader has for values besides plain containers, and the ways in which reading ends.

Floor: no torch.
"""

from __future__ import annotations

__all__ = ["DamagedPickleError", "Opaque", "StorageRef", "TensorRef", "TruncatedPickleError", "UnsafePickleError"]


class DamagedPickleError(Exception):
    """The bytes are no pickle of tensors."""


class TruncatedPickleError(DamagedPickleError):
    """The bytes end before the pickle does."""


class UnsafePickleError(Exception):
    """The pickle asks for something that has no business in a file of weights: `args[0]` names it."""


class Opaque:
    """Something known to be harmless and of no use here: its name is kept, its content is not."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class StorageRef:
    """A storage that the pickle refers to: `numel` elements of `dtype`, or bytes where that is None."""

    __slots__ = ("dtype", "key", "numel", "start")

    def __init__(self, key: str, dtype: str | None, numel: int, start: int = 0) -> None:
        self.key = key
        self.dtype = dtype
        self.numel = numel
        self.start = start
        """Where it begins, in elements: files of torch 0.x name windows of a larger storage."""


class TensorRef:
    """A tensor that the pickle refers to: a view of a storage. Offset and strides are in elements."""

    __slots__ = ("dtype", "offset", "shape", "storage", "stride")

    def __init__(
        self, storage: StorageRef, dtype: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self.storage = storage
        self.dtype = dtype
        self.offset = offset
        self.shape = shape
        self.stride = stride
