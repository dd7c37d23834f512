"""Atomic writing of files: they appear whole or not at all."""

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

_SAME_REASON = {
    getattr(errno, "EDQUOT", errno.ENOSPC): errno.ENOSPC,
    errno.ENOTDIR: errno.ENOENT,
    errno.EPERM: errno.EACCES,
    errno.EROFS: errno.EACCES,
    errno.ENAMETOOLONG: errno.EINVAL,
}


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write and read that takes the place of `path` when the block ends without an error.

    Until then `path` is untouched. Whatever ends the block early, Ctrl-C included, what was written is removed. Where
    `path` is a symbolic link, the file it points to is replaced.

    Raises:
        OutputError: The system refuses to create, write or rename the file.
    """
    target = Path(os.path.realpath(path))
    # In the same folder, as only there os.replace is a rename. Short, for `path` may be as long as names get.
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # Not tempfile: its files are readable by their owner alone, and the result would stay so.
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
    reasons = {
        errno.ENOSPC: ("the disk is full", "make room or choose another folder"),
        errno.ENOENT: (f"there is no folder {path.parent}", "create it first"),
        errno.EACCES: (
            f"{path.parent} does not allow it",
            "choose another folder, or close the program that has the file open",
        ),
        errno.EINVAL: ("the system does not accept its name", "choose a shorter, plainer name"),
        errno.EFBIG: ("it is too large for this disk", "choose another disk or format"),
        errno.EISDIR: ("it is a folder", "choose another name"),
    }
    number = _SAME_REASON.get(error.errno or 0, error.errno or 0)
    if number not in reasons:
        return OutputError(path, f"can't be written ({error.strerror or error})")
    reason, advice = reasons[number]
    return OutputError(path, f"can't be written, {reason}", advice)
