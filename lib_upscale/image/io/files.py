"""Reads and writes images: `read_picture`, `write_picture`."""

from __future__ import annotations

import struct
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError, PictureError
from lib_upscale.image.alpha import WHITE
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.encoding import encode
from lib_upscale.image.io.formats import Format, check_writable
from lib_upscale.image.io.opening import DEFAULT_LIMIT, check_pixels, decoding, load, open_file, open_image
from lib_upscale.image.io.png_chunks import SIGNATURE, PngError
from lib_upscale.image.io.png_reader import read_png
from lib_upscale.image.io.tiff_reader import TiffError, read_deep_tiff, tiff_header, tiff_metadata
from lib_upscale.image.picture import Picture
from lib_upscale.image.pillow import extract_pixels

__all__ = ["read_picture", "write_picture"]

_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def read_picture(path: str | PathLike[str], *, limit_pixels: int | None = DEFAULT_LIMIT) -> Picture:
    """Read an image with all its bits, its transparency and its metadata; of an animation, the first frame.

    Raises:
        PictureError: The file is missing, damaged, incomplete or not an image.
        PictureTooLargeError: It has more than `limit_pixels` pixels (None: no limit). Nothing was decoded.
    """
    path = Path(path)
    with open_file(path) as stream:
        start = stream.read(24)
        if start.startswith(SIGNATURE):
            return _read_png(path, stream, start, limit_pixels)
        if start.startswith(_TIFF_STARTS):
            return _read_tiff(path, stream, limit_pixels)
        image = open_image(path, stream, limit_pixels)
        with decoding(path), image:
            load(image)
            return Picture.from_pil(image)


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

    Formats without 16 bits get 8, rounded. ICC profile, EXIF, XMP and resolution are kept where the format can; of the
    texts PNG keeps all, TIFF, JPEG, WebP and AVIF the WebUI's `parameters`, in the EXIF user comment.

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
            encode(stream, picture, chosen, quality, lossless, background)
        except (ValueError, struct.error) as error:
            raise OutputError(path, f"can't be written as {chosen.name} ({error})", "write it as .png") from error


def _read_png(path: Path, stream: BinaryIO, start: bytes, limit: int | None) -> Picture:
    if len(start) == 24 and start[12:16] == b"IHDR":
        width, height = struct.unpack(">II", start[16:24])
        if width and height:
            check_pixels(path, Size(width, height), limit)
    stream.seek(0)
    with decoding(path):
        try:
            pixels, alpha, metadata = read_png(stream)
        except PngError as error:
            raise PictureError(path, f"is damaged ({error.problem})", "get it again from where it came") from error
        return Picture.oriented(pixels, alpha, metadata)


def _read_tiff(path: Path, stream: BinaryIO, limit: int | None) -> Picture:
    try:
        header = tiff_header(stream)
        check_pixels(path, header.size, limit)
        metadata = tiff_metadata(stream, header)
        if header.bits > 8:
            return Picture.oriented(*read_deep_tiff(stream), metadata, header.orientation)
    except TiffError as error:
        raise PictureError(path, error.problem, error.advice) from error
    image = open_image(path, stream, limit)
    with decoding(path), image:
        load(image)
        pixels, alpha, icc_holds = extract_pixels(image)
        metadata = metadata if icc_holds else replace(metadata, icc=None)
        return Picture.oriented(pixels, alpha, metadata, turn=1)  # Pillow turns a TIFF when it loads it
