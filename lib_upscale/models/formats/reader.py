"""The tensor names and shapes in a file, without executing it and without torch.

`read_checkpoint` finds out what a file is made of by its contents, never by its extension; `Checkpoint.load`
builds the tensors with this project's own readers. Neither spandrel's nor torch's file loading is used.
"""

from __future__ import annotations

import stat
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
from lib_upscale.models.formats.magic import HEAD, UnsupportedContainer, not_a_model, unfinished, unsupported_container
from lib_upscale.models.formats.pickle.interpreter import (
    DamagedPickleError,
    TruncatedPickleError,
    UnsafePickleError,
    interpret,
)
from lib_upscale.models.formats.safetensors_file import (
    DamagedSafetensorsError,
    looks_like_safetensors,
    read_safetensors,
)
from lib_upscale.models.formats.state_dict import without_prefixes
from lib_upscale.models.formats.torch_file import TorchFile, read_legacy, read_zip
from lib_upscale.models.formats.zip_archive import DamagedZipError, Member, list_members
from lib_upscale.models.identity import Kind

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "Container", "TensorInfo", "UnsupportedContainerError", "read_checkpoint"]

_DOWNLOAD_AGAIN = "download it again"
_MODEL_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".param", ".bin", ".gguf")


class Container(str, Enum):
    """How a file keeps its tensors."""

    SAFETENSORS = "safetensors"
    ZIP_PICKLE = "zip-pickle"
    LEGACY_PICKLE = "legacy-pickle"
    NCNN = "ncnn"


class UnsupportedContainerError(NotAnUpscalerError):
    """A sound file of a container that holds no weights for here: `kind` and `architecture` say which."""

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


@dataclass(frozen=True)
class TensorInfo:
    """A tensor that has not been read. `dtype` as torch names it: "float32"."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, read as far as names and shapes."""

    path: Path
    container: Container
    tensors: Mapping[str, TensorInfo]
    """Without the wrappers and prefixes that programs put around a network's weights."""
    metadata: Mapping[str, str]
    """Texts that the file carries (safetensors); empty for others."""
    loader: Callable[[], dict[str, torch.Tensor]]
    """Reads all tensors as new CPU tensors; `load` calls it and names the file in its errors."""
    signs: frozenset[str] = field(default=frozenset())
    """Names of its outermost entries and of the classes that it mentions, to tell what it is."""
    part_loader: Callable[[Iterable[str]], dict[str, torch.Tensor]] | None = None
    """Reads only the tensors of these names, where the container allows that."""

    def load(self) -> dict[str, torch.Tensor]:
        """All tensors, on the CPU, as saved. The file is closed before this returns.

        Raises `DamagedFileError` where the data is not what the names promised, `ModelFileError`
        where the file cannot be read or this torch does not know one of its types.
        """
        with _problems_named(self.path):
            return self.loader()

    def load_small(self, limit: int) -> dict[str, torch.Tensor]:
        """The tensors of at most `limit` elements and of types that this torch knows. Raises as `load` does."""
        import torch

        names = [name for name, info in self.tensors.items() if info.numel <= limit and hasattr(torch, info.dtype)]
        with _problems_named(self.path):
            if self.part_loader is not None:
                return self.part_loader(names)
            loaded = self.loader()
            return {name: loaded[name] for name in names}


@contextmanager
def _problems_named(path: Path) -> Iterator[None]:
    """Turn what the readers raise into errors that name the file and say what to do."""
    try:
        yield
    except UnsafePickleError as error:
        raise UnsafeFileError(
            path,
            f"is not safe: it asks to run {error.args[0]}, which a file of weights has no use for",
            "nothing of it was run; delete it, or get the model as .safetensors from a source you trust",
        ) from error
    except TruncatedPickleError as error:
        raise DamagedFileError(path, "is cut off: the rest of it is missing", _DOWNLOAD_AGAIN) from error
    except DamagedPickleError as error:
        raise DamagedFileError(path, f"is damaged: it holds {error}", _DOWNLOAD_AGAIN) from error
    except (DamagedZipError, DamagedSafetensorsError) as error:
        raise DamagedFileError(path, f"is damaged: {error}", _DOWNLOAD_AGAIN) from error
    except UnknownDtypeError as error:
        raise ModelFileError(path, f"cannot be read here: {error}", "update torch") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except (struct.error, LookupError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise DamagedFileError(path, "is damaged: it contradicts itself", _DOWNLOAD_AGAIN) from error


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    if isinstance(error, FileNotFoundError):
        return ModelFileError(path, "does not exist", f"check the path {path}")
    if isinstance(error, IsADirectoryError):
        return ModelFileError(path, "is a folder, not a file", "name a file in it")
    if isinstance(error, PermissionError):
        return ModelFileError(path, "cannot be read", "allow this program to read it")
    return ModelFileError(path, f"cannot be read ({error.strerror or error})", "check the disk that it lies on")


def read_checkpoint(path: Path) -> Checkpoint:
    """Names and shapes of the tensors in `path`, whatever container they are in.

    Raises `DamagedFileError`, `UnsafeFileError`, `NotAnUpscalerError` (for other containers; as
    `UnsupportedContainerError` it carries the kind) or `ModelFileError` for a file that is missing, unreadable or a
    folder.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        size = status.st_size
    except (OSError, ValueError) as error:
        raise _unreadable(path, error if isinstance(error, OSError) else FileNotFoundError()) from error
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe would wait for its writer.
        raise ModelFileError(path, "is a device or a pipe, not a file", "name a file")
    problem = unfinished(path)
    if problem is not None:
        raise DamagedFileError(path, problem, "wait until it has, or " + _DOWNLOAD_AGAIN)
    ncnn = _ncnn(path)
    if ncnn is not None:
        return ncnn
    # A small buffer: what is read are pieces of a few bytes far apart, and blocks that no buffer would hold.
    with _problems_named(path), path.open("rb", buffering=512) as file:
        return _read(path, file, size)


def _ncnn(path: Path) -> Checkpoint | None:
    if path.suffix.lower() not in (".param", ".bin"):
        return None
    from lib_upscale.models.formats.ncnn import reader as ncnn

    return ncnn.read_ncnn(path) if ncnn.is_ncnn(path) else None


def _read(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    head = file.read(HEAD)
    if looks_like_safetensors(head):
        return _safetensors(path, file, size)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, file, size)
    wrong = not_a_model(head, size)
    if wrong is not None:
        raise DamagedFileError(path, *wrong)
    foreign = unsupported_container(head)
    if foreign is not None:
        raise _foreign(path, foreign)
    if head[257:262] == b"ustar":
        raise _tar(path, head)
    return _legacy(path, file, size, head)


def _foreign(path: Path, foreign: UnsupportedContainer) -> UnsupportedContainerError:
    return UnsupportedContainerError(path, foreign.problem, foreign.advice, foreign.kind, foreign.architecture)


def _safetensors(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    content = read_safetensors(path, file, size)
    infos = {name: TensorInfo(entry.shape, entry.dtype) for name, entry in content.entries.items()}
    tensors = without_prefixes(infos)
    names = dict(zip(tensors, infos, strict=True))

    def load(wanted: Iterable[str]) -> dict[str, torch.Tensor]:
        wanted = list(wanted)
        loaded = content.load(names[name] for name in wanted)
        return dict(zip(wanted, loaded.values(), strict=True))

    return Checkpoint(
        path,
        Container.SAFETENSORS,
        tensors,
        content.metadata,
        lambda: load(list(names)),
        part_loader=load,
    )


def _zip(path: Path, file: BinaryIO, size: int) -> Checkpoint:
    members = list_members(file, size)
    by_name = {member.name: member for member in members}
    if len(by_name) != len(members):
        raise DamagedZipError("it holds two entries of one name")
    root = next((name[: -len("data.pkl")] for name in by_name if name.endswith("/data.pkl")), None)
    if root is None and "data.pkl" in by_name:
        root = ""
    torchscript = root is not None and (f"{root}constants.pkl" in by_name or _below(by_name, f"{root}code/"))
    if torchscript or any(name.endswith("/model.json") and _below(by_name, name[:-10] + "code/") for name in by_name):
        raise UnsupportedContainerError(
            path,
            "is a TorchScript program, which was not opened: running it could do anything",
            "get the same model as .safetensors or .pth",
            Kind.TORCHSCRIPT,
            "TorchScript",
        )
    if root is None or root.count("/") > 1:
        raise _other_zip(path, members)
    return _checkpoint(Container.ZIP_PICKLE, read_zip(path, file, by_name, root))


def _below(names: Iterable[str], folder: str) -> bool:
    return any(name.startswith(folder) for name in names)


def _other_zip(path: Path, members: list[Member]) -> DamagedFileError:
    models = [member.name.rpartition("/")[2] for member in members if member.name.lower().endswith(_MODEL_SUFFIXES)]
    if models:
        return DamagedFileError(path, f"is a zip archive that holds a model ({models[0]})", "unpack it")
    return DamagedFileError(path, "is a zip archive without a model in it", _DOWNLOAD_AGAIN)


def _tar(path: Path, head: bytes) -> DamagedFileError:
    if head.startswith((b"sys_info", b"pickle", b"storages", b"tensors", b"./sys_info")):
        return DamagedFileError(
            path,
            "is a file of torch 0.1, which is no longer supported",
            "save it again with torch between 0.4 and 2.5, or get a newer version of it",
        )
    return DamagedFileError(path, "is a tar archive, not a model", "unpack it and use the model that is inside")


def _legacy(path: Path, file: BinaryIO, size: int, head: bytes) -> Checkpoint:
    if head[0] != 0x80:
        _warn_of_text_pickle(head)
        raise DamagedFileError(path, "is no model in any format that is known here", _DOWNLOAD_AGAIN)
    return _checkpoint(Container.LEGACY_PICKLE, read_legacy(path, file, size))


def _warn_of_text_pickle(head: bytes) -> None:
    """Pickles of protocol 0 have no magic number, and other programs would run them: raises `UnsafePickleError`."""
    try:
        interpret(head)
    except DamagedPickleError:
        return


def _checkpoint(container: Container, content: TorchFile) -> Checkpoint:
    infos = {name: TensorInfo(ref.shape, ref.dtype) for name, ref in content.tensors.items()}
    return Checkpoint(
        content.path,
        container,
        infos,
        {},
        lambda: content.load(content.tensors),
        content.signs,
        content.load,
    )
