"""Reads the names and shapes of the tensors in a file, without executing it and without torch.

The format is decided by a file's contents, not by its extension. The tensors are built by this package's own readers:
neither spandrel's nor torch's file loading is used.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats.checkpoint import (
    DOWNLOAD_AGAIN,
    Checkpoint,
    CheckpointFormat,
    errors_naming,
    unreadable_error,
)
from lib_upscale.models.formats.magic import HEAD, refusal, unfinished
from lib_upscale.models.formats.ncnn.reader import NCNN
from lib_upscale.models.formats.pickle.interpreter import interpret
from lib_upscale.models.formats.pickle.values import DamagedPickleError
from lib_upscale.models.formats.safetensors_file import SAFETENSORS
from lib_upscale.models.formats.torch_file import LEGACY, ZIP

__all__ = ["FORMATS", "read_checkpoint"]

FORMATS: tuple[CheckpointFormat, ...] = (
    NCNN,
    SAFETENSORS,
    ZIP,
    LEGACY,
)
"""Every format that can be read, in the order in which they are asked."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the names and shapes of the tensors in `path`, whatever format it is in.

    Raises:
        DamagedFileError: The file is incomplete, contradicts itself, or is no checkpoint.
        UnsafeFileError: Its pickle asks for something other than weights.
        UnsupportedContainerError: It is of another program's format; the error carries its kind.
        ModelFileError: It is missing, unreadable or a folder.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
    except (OSError, ValueError) as error:
        raise unreadable_error(path, error if isinstance(error, OSError) else FileNotFoundError()) from error
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe would wait for its writer.
        raise ModelFileError(path, "is a device or a pipe, not a file", "name a file")
    problem = unfinished(path)
    if problem is not None:
        raise DamagedFileError(path, problem, "wait until it has, or " + DOWNLOAD_AGAIN)
    # A small buffer: what is read are pieces of a few bytes far apart, and blocks that no buffer would hold.
    with errors_naming(path), path.open("rb", buffering=512) as file:
        head = file.read(HEAD)
        for checkpoint_format in FORMATS:
            if checkpoint_format.matches(head, path):
                return checkpoint_format.read(path, file, status.st_size)
        raise refusal(path, head, status.st_size) or _unknown(path, head)


def _unknown(path: Path, head: bytes) -> DamagedFileError:
    # Pickles of protocol 0 have no magic number, and other programs would run them: they are named as unsafe.
    with contextlib.suppress(DamagedPickleError):
        interpret(head)
    return DamagedFileError(path, "is not a model in any known format", DOWNLOAD_AGAIN)
