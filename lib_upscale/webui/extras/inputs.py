"""Which images an Extras job works on, and reading them: a file that can't be read does not end the job."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lib_upscale.errors import PictureError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.formats import SUPPORTED_SUFFIXES
from lib_upscale.image.io.opening import check_pixels
from lib_upscale.webui.upscalers import settings_page
from lib_upscale.webui.upscalers.registry import path_key

__all__ = ["Inputs", "Mode", "list_below", "problem_of"]

_UNREADABLE = "upscale-plus unreadable"
"""In the `info` of an image that stands in for a file that could not be read."""


class Mode(IntEnum):
    """The tabs of Extras, by the host's numbers."""

    SINGLE = 0
    BATCH = 1
    DIRECTORY = 2


class Inputs:
    """The images of one job.

    Args:
        mode: The tab.
        uploads: How many images the page has sent.
    """

    def __init__(self, mode: Mode, uploads: int) -> None:
        self.mode = mode
        self.count = uploads if mode is Mode.BATCH else 1
        self.current = ""
        """The file of the image that is worked on; "" where none is known."""
        self._uploads: list[str] = []

    @property
    def are_several(self) -> bool:
        """Whether the job goes on after an image that fails."""
        return self.mode is not Mode.SINGLE and self.count > 1

    def read(self, source: object, read: Callable[[], Image.Image]) -> Image.Image:
        """Read an image.

        Args:
            source: What the host reads: a path, or an upload that has one.
            read: The host's way to read it.

        Returns:
            The image; for a file that can't be read, a stand-in, of which `problem_of` tells the problem.
        """
        self.current = str(source)
        if self.mode is not Mode.DIRECTORY:  # the host reads all uploads before it works on the first
            self._uploads.append(self.current)
        path = Path(self.current)
        try:
            with Image.open(source) as header:  # type: ignore[arg-type]
                check_pixels(path, Size(*header.size), settings_page.decompression_limit())
            image = read()
            image.load()
        except Exception as error:
            image = Image.new("RGB", (1, 1))
            image.info[_UNREADABLE] = self._describe(path, error)
        return image

    def begin(self) -> None:
        """The host begins to work on the next image."""
        if self._uploads:
            self.current = self._uploads.pop(0)

    def name(self, number: int) -> str:
        """Return what image `number`, counted from 1, is called where it is reported."""
        return Path(self.current).name or f"image {number} of {self.count}"

    def _describe(self, path: Path, error: Exception) -> str:
        if isinstance(error, PictureError):
            return str(error)
        is_unknown = isinstance(error, UnidentifiedImageError)
        if is_unknown and path.suffix.lower() not in SUPPORTED_SUFFIXES and self.mode is Mode.DIRECTORY:
            return ""
        problem = "is not an image, or damaged" if is_unknown else f"can't be read ({error})"
        return str(PictureError(path, problem, "open it in another program, and save it again if it opens"))


def problem_of(image: Image.Image) -> str | None:
    """Return why the file behind an image could not be read; "" if it is not an image at all, None if it was read."""
    problem: str | None = image.info.get(_UNREADABLE) if image.size == (1, 1) else None
    return problem


def list_below(folder: str, output: str) -> list[str]:
    """List all files in and below a folder, leaving out hidden ones and those in the folder of the results."""
    results = path_key(output) if output and path_key(output) != path_key(folder) else None
    files: list[str] = []
    for root, folders, names in os.walk(folder):
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if path_key(os.path.join(root, name)) != results]  # noqa: PTH118
        files += [os.path.join(root, name) for name in sorted(names) if not name.startswith(".")]  # noqa: PTH118
    return files
