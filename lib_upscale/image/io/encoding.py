"""Writes an image in one format to an open file, its metadata kept as far as the format can."""

from __future__ import annotations

import io
import logging
from typing import Any, BinaryIO, cast

from typing_extensions import override

from lib_upscale.errors import SettingsError
from lib_upscale.image.alpha import WHITE, drop_alpha
from lib_upscale.image.io.formats import Format, limits
from lib_upscale.image.io.palette import palette_image
from lib_upscale.image.io.png.writer import write_png
from lib_upscale.image.io.tiff.writer import write_tiff
from lib_upscale.image.metadata import EXIF_PREFIX, XMP_PREFIX, Metadata, exif_for_photo, without_large_parts
from lib_upscale.image.picture import Picture

__all__ = ["encode", "fit_to_format", "quality_options"]

_QUALITY = {Format.JPEG: 95, Format.WEBP: 90, Format.AVIF: 85}
_LARGE = 8192
"""Bytes above which a value, such as a camera's own notes, is left out of an EXIF block that JPEG can't hold."""
_SEGMENT = 65533
"""The most bytes that a segment of a JPEG can hold."""


def encode(
    stream: BinaryIO,
    picture: Picture,
    format: Format,
    quality: int | None = None,
    lossless: bool = False,
    background: tuple[int, int, int] = WHITE,
) -> None:
    """Write `picture` to `stream`.

    Args:
        stream: Writable, readable and seekable.
        picture: What to write.
        format: How.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        lossless: For WebP.
        background: Red, green, blue: what it is laid on where the format has no alpha.

    Raises:
        SettingsError: The quality is out of range, or the format can't do without loss.
    """
    options = quality_options(format, quality, lossless)
    picture = fit_to_format(picture, format, background)
    if format is Format.PNG:
        channels = picture.channels + (picture.alpha is not None)
        write_png(stream, picture.size, picture.bands(), picture.metadata, bits=picture.bits, channels=channels)
    elif format is Format.TIFF:
        write_tiff(stream, picture)
    elif format is Format.GIF:
        image = palette_image(picture)
        image.save(cast(BinaryIO, _WithoutFileNumber(stream)), "GIF")
    else:
        image = picture.to_pil()
        image.info.clear()  # Pillow writes some of it by itself; what is written is said below
        image.save(
            cast(BinaryIO, _WithoutFileNumber(stream)), _PILLOW[format], **options, **_metadata_options(picture, format)
        )


def fit_to_format(picture: Picture, format: Format, background: tuple[int, int, int] = WHITE) -> Picture:
    """Bring a picture to what the format can hold: 16 bits are rounded to 8, alpha is laid on `background`."""
    bound = limits(format)
    picture = picture if bound.alpha else drop_alpha(picture, background)
    return picture if bound.sixteen else picture.with_bits(8)


def quality_options(format: Format, quality: int | None, lossless: bool) -> dict[str, Any]:
    """Check a quality and give Pillow's options for it.

    Raises:
        SettingsError: It is out of range, or the format can't do without loss.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise SettingsError(f"The quality must be from 1 to 100, not {quality}")
    if lossless and format in (Format.JPEG, Format.AVIF, Format.GIF):
        raise SettingsError(f"{format.name} can't be written without loss", "choose PNG, TIFF or WebP")
    if format not in _QUALITY:
        return {}
    if lossless:
        return {"lossless": True, "quality": 80, "exact": True}  # the quality is then how hard it tries
    options: dict[str, Any] = {"quality": quality or _QUALITY[format]}
    if format is Format.JPEG:
        # Not "optimize": Pillow then needs all of the file in a buffer that it guesses too small for noisy pictures.
        options["subsampling"] = 0 if options["quality"] >= 90 else 2
    return options


_PILLOW = {Format.JPEG: "JPEG", Format.WEBP: "WEBP", Format.AVIF: "AVIF", Format.BMP: "BMP"}


def _metadata_options(picture: Picture, format: Format) -> dict[str, Any]:
    metadata = picture.metadata
    options: dict[str, Any] = {"dpi": metadata.dpi} if metadata.dpi else {}
    if format is Format.BMP:
        return options
    # WebP and AVIF are written as RGB even where the picture is gray; a profile for gray would be wrong there.
    icc = metadata.icc_for(picture.channels)
    if icc and (format is Format.JPEG or picture.channels == 3):
        options["icc_profile"] = icc
    exif = _exif_in_segment(metadata) if format is Format.JPEG else exif_for_photo(metadata)
    if exif:
        options["exif"] = EXIF_PREFIX + exif
    if metadata.xmp and format is not Format.JPEG:
        options["xmp"] = metadata.xmp
    elif metadata.xmp and len(metadata.xmp) + len(XMP_PREFIX) <= _SEGMENT:
        segment = XMP_PREFIX + metadata.xmp
        options["extra"] = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    return options


def _exif_in_segment(metadata: Metadata) -> bytes | None:
    """The EXIF block that JPEG can hold: what is too long for it is left out part by part, which is logged."""
    most = _SEGMENT - len(EXIF_PREFIX)
    whole = exif_for_photo(metadata)
    if whole is None or len(whole) <= most:
        return whole
    log = logging.getLogger(__name__)
    small = without_large_parts(whole, _LARGE)
    if small is not None and len(small) <= most:
        log.warning("The EXIF block is too long for JPEG: values of over %d bytes are left out", _LARGE)
        return small
    log.warning("The EXIF block is too long for JPEG and is left out")
    return None


class _WithoutFileNumber(io.RawIOBase):
    """A stream without a file number: to one Pillow writes past Python, and can't say that a disk is full."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Any) -> int:
        return self._stream.write(data)

    @override
    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    @override
    def tell(self) -> int:
        return self._stream.tell()
