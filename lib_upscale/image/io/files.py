"""Reads and writes images, and the pages of a TIFF."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError, PictureError, PictureTooLargeError
from lib_upscale.image.alpha import WHITE
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.encoding import encode
from lib_upscale.image.io.fitting import fit_one_of, note_lost
from lib_upscale.image.io.formats import TIFF_STARTS, Format, check_pages, check_writable
from lib_upscale.image.io.heif import read_deep_heif
from lib_upscale.image.io.jpeg_end import complete_jpeg, lacks_end
from lib_upscale.image.io.netpbm import NetpbmError, is_netpbm, read_netpbm, read_netpbm_header
from lib_upscale.image.io.notes import note
from lib_upscale.image.io.opening import (
    ANIMATED,
    DEFAULT_LIMIT,
    check_pixels,
    decoding,
    heif_bits,
    load,
    open_file,
    open_image,
    say_lost,
    say_missing_end,
    upright_size,
)
from lib_upscale.image.io.png.chunks import SIGNATURE, PngError
from lib_upscale.image.io.png.reader import read_png
from lib_upscale.image.io.tiff.reader import TiffError, TiffHeader, read_deep_tiff, tiff_headers, tiff_metadata
from lib_upscale.image.io.tiff.writer import write_tiff_pages
from lib_upscale.image.picture import Picture
from lib_upscale.image.pillow import extract_metadata, extract_pixels

__all__ = ["Pages", "read_pages", "read_picture", "read_size", "write_pages", "write_picture"]


@dataclass(frozen=True)
class Pages:
    """The pages of a file.

    Attributes:
        sizes: Of each page, upright.
        pictures: Decodes anew from the start, one page at a time; raises `PictureError` where one is damaged.
    """

    sizes: tuple[Size, ...]
    pictures: Callable[[], Iterator[Picture]]


def read_picture(path: str | PathLike[str], *, limit_pixels: int | None = DEFAULT_LIMIT) -> Picture:
    """Read an image with all its bits, its transparency and its metadata; of several frames or pages, the first.

    Raises:
        PictureError: The file is missing, damaged, incomplete or not an image.
        PictureTooLargeError: It has more than `limit_pixels` pixels (None: no limit). Nothing was decoded.
    """
    path = Path(path)
    with open_file(path) as stream:
        start = stream.read(24)
        if start.startswith(SIGNATURE):
            return _read_png(path, stream, start, limit_pixels)
        if start.startswith(TIFF_STARTS):
            with _reading_tiff(path):
                return _read_page(path, stream, tiff_headers(stream)[0], limit_pixels)
        if is_netpbm(start):
            check_pixels(path, _netpbm_size(path, stream), limit_pixels)
            with decoding(path), _naming(path):
                return Picture(*read_netpbm(stream))
        return _read_by_pillow(path, stream, limit_pixels)


def _read_by_pillow(path: Path, stream: BinaryIO, limit: int | None) -> Picture:
    image = open_image(path, stream, limit)
    try:
        with decoding(path), image:
            picture = _decode(stream, image)
            count = int(getattr(image, "n_frames", 1))
        if count > 1 and image.format not in ANIMATED:
            note(path, f"holds {count} images, of which the first is read")
        say_lost(path, stream, image, picture.bits)
        if image.format == "JPEG" and lacks_end(stream):
            say_missing_end(path)
        say_missing_end(path, stream)
        return picture
    except PictureTooLargeError:
        raise
    except PictureError:
        whole = complete_jpeg(stream) if image.format == "JPEG" else None
        if whole is None:
            raise
    say_missing_end(path)
    return Picture.from_pil(whole)


def _decode(stream: BinaryIO, image: Image.Image) -> Picture:
    deep = read_deep_heif(stream) if image.format in ("HEIF", "AVIF") and heif_bits(stream, image) > 8 else None
    if deep is None:
        load(image)
        return Picture.from_pil(image)
    return Picture.oriented(*deep, extract_metadata(image), turn=1)


def read_size(path: str | PathLike[str], *, limit_pixels: int | None = DEFAULT_LIMIT) -> Size:
    """The size of the image that `read_picture` gives, from the file's header.

    Raises:
        PictureError: The file is missing, damaged or not an image.
        PictureTooLargeError: It has more than `limit_pixels` pixels (None: no limit).
    """
    path = Path(path)
    with open_file(path) as stream:
        start = stream.read(4)
        if start.startswith(TIFF_STARTS):
            with _reading_tiff(path):
                header = tiff_headers(stream)[0]
            check_pixels(path, header.size, limit_pixels)
            return _upright(header)
        if is_netpbm(start):
            size = _netpbm_size(path, stream)
            check_pixels(path, size, limit_pixels)
            return size
        with open_image(path, stream, limit_pixels) as image, decoding(path):
            return upright_size(image)


def read_pages(path: str | PathLike[str], *, limit_pixels: int | None = DEFAULT_LIMIT) -> Pages | None:
    """Open the pages of a TIFF, without reading pixels yet; smaller copies of a page are no pages.

    Returns:
        None if the file holds a single image.

    Raises:
        PictureError: The file is missing, damaged or not an image.
        PictureTooLargeError: A page has more than `limit_pixels` pixels (None: no limit).
    """
    path = Path(path)
    with open_file(path) as stream:
        if not stream.read(4).startswith(TIFF_STARTS):
            return None
        with _reading_tiff(path):
            headers = tiff_headers(stream)
    for header in headers:
        check_pixels(path, header.size, limit_pixels)
    if len(headers) < 2:
        return None
    return Pages(tuple(map(_upright, headers)), lambda: _read_each(path, headers, limit_pixels))


def write_pages(pictures: Iterable[Picture], path: str | PathLike[str], sizes: Sequence[Size]) -> None:
    """Write pictures as the pages of a TIFF, atomically, as they come.

    Args:
        pictures: At least one, of any sizes, depths and channels.
        path: Where to.
        sizes: Of the pages; they decide whether offsets need 64 bits.

    Raises:
        OutputError: The format has no pages, or the system refuses.
    """
    path = Path(path)
    check_pages(path)
    lost: dict[str, None] = {}
    with atomic_file(path) as stream:
        try:
            most_bytes = sum(size.pixels for size in sizes) * 8
            write_tiff_pages(stream, (fit_one_of(picture, Format.TIFF, lost) for picture in pictures), most_bytes)
        except (ValueError, struct.error) as error:
            raise OutputError(path, f"can't be written as TIFF ({error})") from error
    note_lost(path, Format.TIFF, list(lost))


def write_picture(
    picture: Picture,
    path: str | PathLike[str],
    *,
    format: Format | str | None = None,
    quality: int | None = None,
    lossless: bool = False,
    background: tuple[int, int, int] = WHITE,
) -> None:
    """Write an image, atomically: until it is whole on disk, `path` stays what it was.

    Formats without 16 bits get 8, rounded, and those without profiles sRGB. Of the texts PNG keeps all, TIFF, JPEG,
    WebP and AVIF the WebUI's `parameters`, in the EXIF user comment. What metadata a format can't hold is logged.

    Args:
        picture: What to write.
        path: Where to.
        format: Overrides the suffix of `path`.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        lossless: For WebP.
        background: Red, green, blue, 0 to 255: what the image is laid on in formats without alpha (JPEG, BMP).

    Raises:
        FormatLimitError: The image is too large for the format.
        OutputError: The format is unknown, or the system refuses.
        SettingsError: The quality is out of range, or the format can't do without loss.
    """
    path = Path(path)
    chosen = check_writable(path, picture.size, picture.bits, picture.alpha is not None, format)
    with atomic_file(path) as stream:
        try:
            lost = encode(stream, picture, chosen, quality, lossless, background)
        except (ValueError, struct.error) as error:
            raise OutputError(path, f"can't be written as {chosen.name} ({error})", "write it as .png") from error
    note_lost(path, chosen, lost)


def _read_png(path: Path, stream: BinaryIO, start: bytes, limit: int | None) -> Picture:
    if len(start) == 24 and start[12:16] == b"IHDR":
        width, height = struct.unpack(">II", start[16:24])
        if width and height:
            check_pixels(path, Size(width, height), limit)
    stream.seek(0)
    with decoding(path), _naming(path):
        return Picture.oriented(*read_png(stream))


def _netpbm_size(path: Path, stream: BinaryIO) -> Size:
    with decoding(path), _naming(path):
        return read_netpbm_header(stream).size


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in what its reader says of it."""
    try:
        yield
    except (PngError, NetpbmError) as error:
        raise PictureError(path, f"is damaged ({error.problem})", "get it again from where it came") from error


def _upright(header: TiffHeader) -> Size:
    return Size(header.size.height, header.size.width) if header.orientation > 4 else header.size


@contextmanager
def _reading_tiff(path: Path) -> Iterator[None]:
    try:
        yield
    except TiffError as error:
        raise PictureError(path, error.problem, error.advice) from error


def _read_each(path: Path, headers: Sequence[TiffHeader], limit: int | None) -> Iterator[Picture]:
    for header in headers:
        with open_file(path) as stream, _reading_tiff(path):
            picture = _read_page(path, stream, header, limit)
        yield picture


def _read_page(path: Path, stream: BinaryIO, header: TiffHeader, limit: int | None) -> Picture:
    """Read one page. Raises `TiffError` or `PictureError`."""
    check_pixels(path, header.size, limit)
    metadata = tiff_metadata(stream, header)
    if header.bits > 8 or not header.unsigned:
        return Picture.oriented(*read_deep_tiff(stream, header.number), metadata, header.orientation)
    try:
        image = open_image(path, stream, limit)
        with decoding(path):
            image.seek(header.number)
    except PictureTooLargeError:
        raise
    except PictureError:  # or a kind that Pillow has no mode for
        return Picture.oriented(*read_deep_tiff(stream, header.number), metadata, header.orientation)
    with decoding(path), image:
        load(image)
        pixels, alpha, icc_holds = extract_pixels(image)
        metadata = metadata if icc_holds else replace(metadata, icc=None)
        return Picture.oriented(pixels, alpha, metadata, turn=1)  # Pillow turns a TIFF when it loads it
