"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lib_upscale.errors import OutputError

__all__ = ["atomic_file"]


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well.

    Until then `path` is untouched. Whatever ends the block early, Ctrl-C included, what was written is removed. Where
    `path` is a symbolic link, the file it points to is replaced. Raises `OutputError` for whatever the system refuses.
    """
    target = Path(os.path.realpath(path))
    # In the same folder, as only there os.replace is a rename. Short, for `path` may be as long as names get.
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # Not tempfile: its files are readable by their owner alone, and the picture would stay so.
        with temporary.open("x+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _refused(path: Path, error: OSError) -> OutputError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return OutputError(path, "can't be written, the disk is full", "make room or choose another folder")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(path, f"can't be written, there is no folder {path.parent}", "create it first")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            path,
            f"can't be written, {path.parent} does not allow it",
            "choose another folder, or close the program that has the file open",
        )
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
        return OutputError(
            path, "can't be written, the system does not accept its name", "choose a shorter, plainer name"
        )
    if error.errno == errno.EFBIG:
        return OutputError(path, "can't be written, it is too large for this disk", "choose another disk or format")
    if error.errno == errno.EISDIR:
        return OutputError(path, "can't be written, it is a folder", "choose another name")
    return OutputError(path, f"can't be written ({error.strerror or error})")
