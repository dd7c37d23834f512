"""Writes an image in one format to an open file, its metadata kept as far as the format can."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from typing_extensions import override

from lib_upscale.image.alpha import WHITE
from lib_upscale.image.io.fitting import fit_to_format
from lib_upscale.image.io.formats import Format, quality_options
from lib_upscale.image.io.palette import palette_image
from lib_upscale.image.io.png.writer import write_png
from lib_upscale.image.io.tiff.writer import write_tiff
from lib_upscale.image.metadata import COMMENT, EXIF_PREFIX, XMP_PREFIX, Metadata
from lib_upscale.image.picture import Picture

__all__ = ["encode", "metadata_options"]

_MOST_COMMENT = 65533
"""The most bytes that a comment of a JPEG can have."""


def encode(
    stream: BinaryIO,
    picture: Picture,
    format: Format,
    quality: int | None = None,
    lossless: bool = False,
    background: tuple[int, int, int] = WHITE,
) -> tuple[str, ...]:
    """Write `picture` to `stream`.

    Args:
        stream: Writable, readable and seekable.
        picture: What to write.
        format: How.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        lossless: For WebP.
        background: Red, green, blue: what it is laid on where the format has no alpha.

    Returns:
        What of the metadata the file does not hold, in words for users (`Fitted.lost`).

    Raises:
        SettingsError: The quality is out of range, or the format can't do without loss.
    """
    options = quality_options(format, quality, lossless)
    fitted = fit_to_format(picture, format, background)
    picture = fitted.picture
    if format is Format.PNG:
        channels = picture.channels + (picture.alpha is not None)
        write_png(stream, picture.size, picture.bands(), picture.metadata, bits=picture.bits, channels=channels)
    elif format is Format.TIFF:
        write_tiff(stream, picture)
    elif format is Format.GIF:
        image = palette_image(picture)
        image.save(cast(BinaryIO, _WithoutFileNumber(stream)), "GIF", **metadata_options(picture.metadata, format))
    else:
        image = picture.to_pil()
        image.info.clear()  # Pillow writes some of it by itself; what is written is said below
        options |= metadata_options(picture.metadata, format)
        image.save(cast(BinaryIO, _WithoutFileNumber(stream)), _PILLOW[format], **options)
    return fitted.lost


_PILLOW = {Format.JPEG: "JPEG", Format.WEBP: "WEBP", Format.AVIF: "AVIF", Format.BMP: "BMP"}


def metadata_options(metadata: Metadata, format: Format) -> dict[str, Any]:
    """Pillow's options for metadata of which the format can hold everything (`fit_to_format`)."""
    blocks: dict[str, Any] = {"dpi": metadata.dpi, "icc_profile": metadata.icc, "exif": metadata.exif}
    if metadata.exif:
        blocks["exif"] = EXIF_PREFIX + metadata.exif
    if format is not Format.JPEG:
        blocks["xmp"] = metadata.xmp
    elif metadata.xmp:
        segment = XMP_PREFIX + metadata.xmp
        blocks["extra"] = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    comment = metadata.text.get(COMMENT)
    blocks["comment"] = comment and comment.encode("utf-8", "replace")[:_MOST_COMMENT]
    return {key: value for key, value in blocks.items() if value}


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
