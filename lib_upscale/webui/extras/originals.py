"""What the host loses of an image on its way through Extras: 16 bits, the color profile, EXIF.

It reads 8 bits and drops the rest before a postprocessor sees the image. The image's own bytes are read again where
they are still there, and what the host has saved is written again with all of it.
"""

from __future__ import annotations

import base64
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.io import read_picture, write_picture
from lib_upscale.image.metadata import PARAMETERS, Metadata
from lib_upscale.image.picture import Picture
from lib_upscale.webui.host import console, environment, images
from lib_upscale.webui.host.patching import Marks
from lib_upscale.webui.upscalers import settings_page

if TYPE_CHECKING:
    from gradio.components import Component

__all__ = ["Originals", "keep_uploads", "of_running_job", "running_job"]

_uploads: Marks[bytes] = Marks()
"""Image as the page hands it to the host -> the bytes that it was read from."""
_LOSSY = (".jpg", ".jpeg", ".webp", ".avif")
_CELL, _MOST_CELLS = 16, 64
"""Pixels that are compared by their mean, as JPEG's blocks of colors are, and the most such cells a side."""
_MOST_LOSS = 24
"""Levels by which such a mean changes at most where an image is saved with loss, even at a low quality."""


def keep_uploads(component: Component) -> None:
    """Have the page's image of the tab Single remember what it was read from."""
    original: Callable[[Any], Any] = component.preprocess

    def preprocess(value: Any) -> Any:
        image = original(value)
        if isinstance(image, Image.Image):
            with contextlib.suppress(Exception):  # whatever this gradio sends: the image is there
                _uploads.put(image, _read_upload(value))
        return image

    component.preprocess = preprocess  # type: ignore[method-assign]


def _read_upload(value: Any) -> bytes:
    """gradio 3 sends the file in base64, gradio 4 its place."""
    if isinstance(value, str) and value.startswith("data:"):
        return base64.b64decode(value.partition(",")[2])
    return Path(value if isinstance(value, str) else value.path).read_bytes()


class Originals:
    """The images of one Extras job as they were before the host read them."""

    def __init__(self) -> None:
        self._source: Path | None = None
        self._image: Image.Image | None = None
        self._metadata: Metadata | None = None
        self._results: Marks[Picture] = Marks()

    @contextmanager
    def of_upload(self, image: object) -> Iterator[None]:
        """The one image of the tab Single is that upload while this lasts."""
        content = _uploads.take(image) if isinstance(image, Image.Image) else None
        with ExitStack() as stack:
            if content is not None:
                with contextlib.suppress(OSError):  # no room for a copy: what the host has read is there
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="upscale-plus-"))
                    path = Path(folder) / "upload"
                    path.write_bytes(content)
                    self._source = path
            yield

    def begin(self, image: Image.Image, path: str) -> None:
        """The host begins to work on an image; `path` is its file, "" for that of `of_upload`, if it has one."""
        self._image, self._metadata = image, None
        if path:
            self._source = Path(path)

    def picture_of(self, image: Image.Image) -> Picture:
        """The image that the host hands over, with all that its file has."""
        plain = Picture.from_pil(image)
        try:
            if self._source is None or not self._source.is_file():
                return plain
            original = read_picture(self._source, limit_pixels=settings_page.decompression_limit())
        except UpscalePlusError:  # the host has read it: the WebUI knows a format that is not known here
            return plain
        self._metadata = original.metadata
        # The host makes 8 bits of 16 in a way of its own: those are not compared.
        if image is self._image and original.size == plain.size and (original.bits > 8 or _is_same(original, plain)):
            return original
        return plain.with_metadata(original.metadata)  # another postprocessor has changed it before

    def add_result(self, image: Image.Image, picture: Picture) -> None:
        """`image` is what the host goes on with, and `picture` the same with nothing lost."""
        self._results.put(image, picture)

    def save(self, image: Image.Image, save: Callable[[], object]) -> object:
        """Have the host save an image, and write it again with what would be lost; the host's answer."""
        began = time.time()
        answer = save()
        picture = self._results.get(image)
        if picture is None and self._metadata is not None:
            picture = Picture.from_pil(image).with_metadata(self._metadata)  # another postprocessor has changed it
        path = answer[0] if isinstance(answer, tuple) and answer else None
        if picture is not None and isinstance(path, str) and _would_lose(picture):
            try:
                # Where it numbers its files, the host names one that was there before.
                if Path(path).stat().st_mtime > began - 1 and _shows(Path(path), image):
                    _write_again(picture, Path(path))
            except (UpscalePlusError, OSError) as error:
                console.say(f"the color profile and EXIF were not kept: {error}")
        return answer


def _is_same(original: Picture, plain: Picture) -> bool:
    if not bool((original.pixels == plain.pixels).all()):  # gray, which the host has made RGB, is too
        return False
    return plain.alpha is None or original.alpha is None or np.array_equal(original.alpha, plain.alpha)


def _would_lose(picture: Picture) -> bool:
    known = picture.metadata
    return picture.bits > 8 or any((known.icc, known.exif, known.xmp, known.dpi, known.png_color))


def _shows(path: Path, image: Image.Image) -> bool:
    """Whether a file shows the image that was to be saved: other extensions mark or hide it on its way there."""
    with Image.open(path) as saved:
        if saved.size != image.size:
            return False
        if path.suffix.lower() not in _LOSSY:
            return np.array_equal(np.asarray(saved.convert(image.mode)), np.asarray(image))
        cells = (min(_MOST_CELLS, max(1, image.width // _CELL)), min(_MOST_CELLS, max(1, image.height // _CELL)))
        small = (each.convert("RGB").resize(cells, Image.Resampling.BOX) for each in (saved, image))
        one, other = (np.asarray(each, np.int16) for each in small)
        return bool(np.abs(one - other).max() <= _MOST_LOSS)


def _write_again(picture: Picture, path: Path) -> None:
    """Write what the host has saved, with the texts that it has put in."""
    with Image.open(path) as saved:
        if path.suffix.lower() == ".png":
            texts = {str(key): str(value) for key, value in getattr(saved, "text", {}).items()}
        else:
            parameters = images.read_infotext(saved)[0]
            texts = {PARAMETERS: parameters} if parameters else {}
    metadata = replace(picture.metadata, text=MappingProxyType(texts))
    is_lossy = path.suffix.lower() in _LOSSY
    write_picture(
        picture.with_metadata(metadata),
        path,
        quality=int(environment.option("jpeg_quality", 80)) if is_lossy else None,
        lossless=path.suffix.lower() == ".webp" and bool(environment.option("webp_lossless", False)),
    )


_running: ContextVar[Originals | None] = ContextVar("upscale_plus_originals", default=None)


@contextmanager
def running_job(originals: Originals) -> Iterator[None]:
    """Remember, while it lasts, the originals of the Extras job that runs."""
    token = _running.set(originals)
    try:
        yield
    finally:
        _running.reset(token)


def of_running_job() -> Originals | None:
    """Return the originals of the Extras job that runs; None outside of one."""
    return _running.get()
