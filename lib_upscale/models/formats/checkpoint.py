"""The types that all checkpoint formats share: what a file holds, how a format is declared, how reading fails.

Has no format of its own and needs no torch. `reader.FORMATS` lists the formats.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lib_upscale.errors import DamagedFileError, ModelFileError, NotAnUpscalerError, UnsafeFileError
from lib_upscale.models.formats.dtypes import UnknownDtypeError
from lib_upscale.models.identity import Kind

if TYPE_CHECKING:
    import torch

__all__ = [
    "DOWNLOAD_AGAIN",
    "Checkpoint",
    "CheckpointFormat",
    "Container",
    "DamagedContentError",
    "TensorInfo",
    "TruncatedContentError",
    "UnsafeContentError",
    "UnsupportedContainerError",
    "errors_naming",
    "unreadable_error",
]

DOWNLOAD_AGAIN = "download it again"


class DamagedContentError(Exception):
    """Raised when what a file holds contradicts itself or its format. The message completes "is damaged: "."""


class TruncatedContentError(DamagedContentError):
    """Raised when the data ends before what it describes does."""


class UnsafeContentError(Exception):
    """Raised when a file asks for something other than weights; `args[0]` names it. Nothing was run."""


class UnsupportedContainerError(NotAnUpscalerError):
    """Raised for a sound file of a format that cannot be used; `kind` and `architecture` say which."""

    def __init__(
        self,
        path: Path | str,
        problem: str,
        advice: str = "",
        kind: Kind = Kind.UNKNOWN,
        architecture: str | None = None,
    ) -> None:
        super().__init__(path, problem, advice)
        self.args = (*self.args, kind, architecture)
        self.kind = kind
        self.architecture = architecture


class Container(str, Enum):
    """How a file keeps its tensors."""

    SAFETENSORS = "safetensors"
    ZIP_PICKLE = "zip-pickle"
    LEGACY_PICKLE = "legacy-pickle"
    NCNN = "ncnn"


@dataclass(frozen=True)
class TensorInfo:
    """A tensor that has not been read. `dtype` as torch names it: "float32"."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, read as far as names and shapes."""

    path: Path
    container: Container
    tensors: Mapping[str, TensorInfo]
    """Without the wrappers and prefixes that programs put around a network's weights."""
    loader: Callable[[Iterable[str]], dict[str, torch.Tensor]]
    """Reads the tensors of these names as new CPU tensors; `load` names the file in its errors."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Texts that the file carries (safetensors), and the architecture of an ncnn pair."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Plain numbers that lie beside the tensors, by name: some say how to compute, such as Real-CUGAN's "pro"."""
    markers: frozenset[str] = frozenset()
    """Names of its outermost entries and of the classes that it mentions: they tell what a file is."""

    def load(self) -> dict[str, torch.Tensor]:
        """Read all tensors.

        Returns:
            The tensors on the CPU, as saved. The file is closed before this returns.

        Raises:
            DamagedFileError: The data is not what the names promised.
            ModelFileError: The file cannot be read, or this torch does not know one of its types.
        """
        with errors_naming(self.path):
            return self.loader(self.tensors)

    def load_small(self, limit: int) -> dict[str, torch.Tensor]:
        """Read the tensors of at most `limit` elements whose types this torch knows. Raises as `load` does."""
        import torch

        names = [name for name, info in self.tensors.items() if info.numel <= limit and hasattr(torch, info.dtype)]
        with errors_naming(self.path):
            return self.loader(names)


@dataclass(frozen=True)
class CheckpointFormat:
    """One entry of `reader.FORMATS`."""

    matches: Callable[[bytes, Path], bool]
    """Whether a file is of this format, by its first `magic.HEAD` bytes; the path is for formats of several files."""
    read: Callable[[Path, BinaryIO, int], Checkpoint]
    """Names and shapes in a file that matched, from its path, the open file and its size in bytes.

    Raises the errors of this module, which `errors_naming` translates, or a `ModelFileError`.
    """


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Turn what the formats raise into errors that name the file and say what to do."""
    try:
        yield
    except UnsafeContentError as error:
        raise UnsafeFileError(
            path,
            f"is not safe: it asks to run {error.args[0]}, which a file of weights has no use for",
            "nothing of it was run; delete it, or get the model as .safetensors from a source you trust",
        ) from error
    except TruncatedContentError as error:
        raise DamagedFileError(path, "is cut off: the rest of it is missing", DOWNLOAD_AGAIN) from error
    except DamagedContentError as error:
        raise DamagedFileError(path, f"is damaged: {error}", DOWNLOAD_AGAIN) from error
    except UnknownDtypeError as error:
        raise ModelFileError(path, f"cannot be read here: {error}", "update torch") from error
    except OSError as error:
        raise unreadable_error(path, error) from error
    except (struct.error, LookupError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise DamagedFileError(path, "is damaged: it contradicts itself", DOWNLOAD_AGAIN) from error


def unreadable_error(path: Path, error: OSError) -> ModelFileError:
    """Make the error that says why the system did not let a file be read."""
    if isinstance(error, FileNotFoundError):
        return ModelFileError(path, "does not exist", f"check the path {path}")
    if isinstance(error, IsADirectoryError):
        return ModelFileError(path, "is a folder, not a file", "name a file in it")
    if isinstance(error, PermissionError):
        return ModelFileError(path, "cannot be read", "allow this program to read it")
    return ModelFileError(path, f"cannot be read ({error.strerror or error})", "check the disk that it is on")
