"""Atomic writing of files: they appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lib_upscale.errors import OutOfMemoryError, OutputError

__all__ = ["atomic_file", "check_place", "sweep"]

_SAME_REASON = {
    getattr(errno, "EDQUOT", errno.ENOSPC): errno.ENOSPC,
    errno.ENOTDIR: errno.ENOENT,
    errno.EPERM: errno.EACCES,
    errno.EROFS: errno.EACCES,
    errno.ENAMETOOLONG: errno.EINVAL,
}


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file to write and read that takes the place of `path` when the block ends without an error.

    Until then `path` is untouched. Whatever ends the block early, Ctrl-C included, what was written is removed. Where
    `path` is a symbolic link, the file it points to is replaced.

    Args:
        path: The file.
        durable: Wait until it is on the disk, so that a power cut leaves no empty file. That takes milliseconds.

    Raises:
        OutputError: The system refuses to create, write or rename the file.
        OutOfMemoryError: Memory ran out inside the block.
    """
    target = Path(os.path.realpath(path))
    # In the same folder, as only there os.replace is a rename. Short, for `path` may be as long as names get.
    temporary = target.with_name(_temporary_name())
    try:
        # Not tempfile: its files are readable by their owner alone, and the result would stay so.
        with temporary.open("x+b") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        if isinstance(error, MemoryError):
            raise OutOfMemoryError(
                f"Memory ran out while {path.name} was written", "close other programs or set a smaller target"
            ) from error
        raise


def check_place(path: Path, least_bytes: int = 0) -> None:
    """Raise the `OutputError` that writing `path` would raise, as far as it can be known; its folder exists."""
    try:
        if _lacks_room(path.parent, least_bytes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # a name that is too long
        temporary = Path(os.path.realpath(path)).with_name(_temporary_name())
        temporary.open("x").close()
        temporary.unlink()
    except OSError as error:
        raise _refused(path, error) from error


def _lacks_room(folder: Path, least_bytes: int) -> bool:
    """Whether so much can't be written; False where the file system does not know its size."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return False
    return usage.total > 0 and usage.free < least_bytes


def sweep(folder: Path) -> None:
    """Remove the temporary files in a folder that processes on this machine left when they were killed."""
    try:
        files = list(folder.iterdir())
    except OSError:
        return
    for file in files:
        parts = _TEMPORARY.fullmatch(file.name)
        if parts and parts["machine"] == _machine() and not _runs(int(parts["process"])):
            with contextlib.suppress(OSError):
                file.unlink()


_TEMPORARY = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,10})-[0-9a-f]{16}\.part")


def _temporary_name() -> str:
    return f".{_machine()}-{os.getpid()}-{secrets.token_hex(8)}.part"


def _machine() -> str:
    """On a disk that machines share, a process number belongs to one of them."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _runs(process: int) -> bool:
    if sys.platform == "win32":
        return process == os.getpid()  # others' open files can't be removed there anyway
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


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
