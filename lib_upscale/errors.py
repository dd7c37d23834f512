"""The errors that users can meet, each with what to do about it.

All derive from `UpscalePlusError`. A caller of the library catches that one and shows `str(error)`; any other exception
that leaves the library is a bug. Has no internal imports.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

__all__ = [
    "CancelledError",
    "DamagedFileError",
    "FileError",
    "FormatLimitError",
    "MissingArchitectureError",
    "ModelFileError",
    "NotAnUpscalerError",
    "OutOfMemoryError",
    "OutputError",
    "PictureError",
    "PictureTooLargeError",
    "SettingsError",
    "TileTooSmallError",
    "UnknownModelError",
    "UnknownNetworkError",
    "UnsafeFileError",
    "UnusableModelError",
    "UpscalePlusError",
]


class UpscalePlusError(Exception):
    """The root of all errors of this library.

    `str(error)` is one sentence made of both attributes, without a full stop at its end.

    Attributes:
        problem: What is wrong.
        advice: What to do about it; "" where there is nothing to do.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem}: {self.advice}" if self.advice else self.problem


class CancelledError(UpscalePlusError):
    """Raised when the user asked to stop, before the next tile. Never wrapped into another error."""

    def __init__(self, problem: str = "Cancelled", advice: str = "") -> None:
        super().__init__(problem, advice)


class SettingsError(UpscalePlusError):
    """Raised when settings contradict each other or no image could satisfy them."""


class TileTooSmallError(SettingsError):
    """Raised when a tile is too small for its overlap. `smallest` is the smallest tile, in pixels, that works."""

    def __init__(self, problem: str, smallest: int) -> None:
        super().__init__(problem, f"set the tile to {smallest} or more, or the overlap lower")
        self.smallest = smallest


class FileError(UpscalePlusError):
    """Raised when something is wrong with a file. `path` is the file; its name opens the message."""

    def __init__(self, path: str | PathLike[str], problem: str, advice: str = "") -> None:
        self.path = Path(fspath(path))
        super().__init__(f"{self.path.name} {problem}", advice)
        self.args = (fspath(path), problem, advice)  # what pickling hands back to __init__


class ModelFileError(FileError):
    """Raised when a checkpoint can't be used as asked."""


class DamagedFileError(ModelFileError):
    """Raised when a checkpoint is truncated, empty, half downloaded, or no checkpoint at all."""


class UnsafeFileError(ModelFileError):
    """Raised when a checkpoint's pickle asks for something other than weights. It was not executed."""


class NotAnUpscalerError(ModelFileError):
    """Raised when a sound file is of another kind: a LoRA, a VAE, a Stable Diffusion checkpoint, ..."""


class MissingArchitectureError(ModelFileError):
    """Raised when the tensor names of weights match no architecture that is installed."""


class UnusableModelError(ModelFileError):
    """Raised when an upscaler was read but can't do this job: its network failed, NaN in float32, ..."""


class UnknownModelError(UpscalePlusError):
    """Raised when there is no model of that name. `nearest` holds the names that come closest, best first."""

    def __init__(self, name: str, nearest: tuple[str, ...] = (), advice: str = "") -> None:
        if not advice and nearest:
            advice = "did you mean " + " or ".join(f"'{n}'" for n in nearest) + "?"
        super().__init__(f"There is no model called '{name}'", advice)
        self.args = (name, nearest, advice)
        self.name = name
        self.nearest = nearest


class UnknownNetworkError(UpscalePlusError):
    """Raised when a network in memory, such as a VAE, is built in a way that can't be run by tiles."""


class PictureError(FileError):
    """Raised when an image can't be read: truncated, not an image, of a kind that is not supported."""


class PictureTooLargeError(PictureError):
    """Raised when an image has more pixels than the decompression limit allows."""


class OutputError(FileError):
    """Raised when a result can't be written: full disk, read-only folder, a name used twice."""


class FormatLimitError(OutputError):
    """Raised when a result is larger than its file format allows; the advice names a format that would do."""


class OutOfMemoryError(UpscalePlusError):
    """Raised when not even the smallest tile fits into memory; the problem says what was tried."""
