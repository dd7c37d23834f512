"""Every error that a user can meet, each with what to do about it.

One root, `UpscalePlusError`: whoever calls the library catches that one, shows `str(error)`, and has
said all there is to say. Nothing else that leaves the library is the user's fault or the user's to mend.

Floor: the lowest. Imports nothing of the project and nothing of a host.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

__all__ = [
    "CancelledError",
    "DamagedFileError",
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

    `problem` says what is wrong, `advice` what to do about it ("" where there is nothing to do).
    `str(error)` is one sentence made of both, without a trailing full stop added.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem}: {self.advice}" if self.advice else self.problem


class CancelledError(UpscalePlusError):
    """The person asked to stop. Raised before the next tile; never wrapped into another error."""

    def __init__(self, problem: str = "Cancelled", advice: str = "") -> None:
        super().__init__(problem, advice)


class SettingsError(UpscalePlusError):
    """Settings that contradict each other or that no picture could satisfy."""


class TileTooSmallError(SettingsError):
    """A tile too small for its overlap. `smallest` is the smallest tile, in pixels, that works."""

    def __init__(self, problem: str, smallest: int) -> None:
        super().__init__(problem, f"set the tile to {smallest} or more, or the overlap lower")
        self.smallest = smallest


class FileError(UpscalePlusError):
    """A problem of one file. `path` is the file; its name opens the message."""

    def __init__(self, path: str | PathLike[str], problem: str, advice: str = "") -> None:
        self.path = Path(fspath(path))
        super().__init__(f"{self.path.name} {problem}", advice)
        self.args = (fspath(path), problem, advice)  # what pickling hands back to __init__


class ModelFileError(FileError):
    """A checkpoint that cannot be used as asked."""


class DamagedFileError(ModelFileError):
    """A checkpoint that is truncated, empty, half downloaded, or no checkpoint at all."""


class UnsafeFileError(ModelFileError):
    """A checkpoint whose pickle asks for something other than weights. It was not executed."""


class NotAnUpscalerError(ModelFileError):
    """A sound file of another kind: a LoRA, a VAE, a Stable Diffusion checkpoint, ..."""


class MissingArchitectureError(ModelFileError):
    """Weights whose tensor names match no architecture that is installed."""


class UnusableModelError(ModelFileError):
    """An upscaler that was read but can't do this job (its network failed, NaN in float32, ...)."""


class UnknownModelError(UpscalePlusError):
    """No model of that name. `nearest` holds the names that come closest, best first."""

    def __init__(self, name: str, nearest: tuple[str, ...] = (), advice: str = "") -> None:
        if not advice and nearest:
            advice = "did you mean " + " or ".join(f"'{n}'" for n in nearest) + "?"
        super().__init__(f"There is no model called '{name}'", advice)
        self.args = (name, nearest, advice)
        self.name = name
        self.nearest = nearest


class UnknownNetworkError(UpscalePlusError):
    """A network in memory, such as a VAE, that is not built in a way this library can work on by tiles."""


class PictureError(FileError):
    """A picture that can't be read: truncated, not a picture, of a kind that is not supported."""


class PictureTooLargeError(PictureError):
    """A picture with more pixels than the decompression limit allows."""


class OutputError(FileError):
    """A result that can't be written: full disk, read-only folder, a name used twice."""


class FormatLimitError(OutputError):
    """A result larger than its file format allows; the advice names a format that would do."""


class OutOfMemoryError(UpscalePlusError):
    """Not even the smallest tile fits into memory; the problem says what was tried."""
