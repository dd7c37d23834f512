"""Writes TIFF files with the package tifffile: strips of rows, Deflate compressed, with as much metadata as TIFF holds.

Two things tifffile does not do: given an array it takes a second copy where alpha lies apart, so it is given compressed
strips; and it does not write EXIF directories, so these are appended, and pointed to, afterwards.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lib_upscale.image.io.tiff.reader import GPS_IFD, tags_shared_with_exif
from lib_upscale.image.metadata import BAD_EXIF, EXIF_IFD, EXIF_PREFIX, Metadata
from lib_upscale.image.picture import Picture
from lib_upscale.threads import map_in_order

__all__ = ["is_big_tiff", "loses_exif", "write_tiff", "write_tiff_pages"]

_STRIP = 2**20
"""Bytes of pixels in a strip."""
_CLASSIC_LIMIT = 2**32 - 2**26
"""Bytes of pixels above which offsets of 32 bits may not do."""
_PLACEHOLDERS = {EXIF_IFD: EXIF_IFD - 1, GPS_IFD: GPS_IFD - 1}
"""Tags that mean nothing and sort to the places of those that tifffile refuses to write."""

_OF_THE_PIXELS = frozenset((254, 256, 257, 258, 259, 262, 274, 277, 282, 283, 284, 296, 530, 531))
"""Tags of EXIF that say how pixels are stored, which a TIFF says of its own; and the resolution, kept apart."""

_BYTE, _ASCII, _SHORT, _LONG, _UNDEFINED = 1, 2, 3, 4, 7


def write_tiff(stream: BinaryIO, picture: Picture) -> None:
    """Write a picture in its own depth with all its metadata but texts.

    Over 4 GB of pixels it becomes a BigTIFF, without the EXIF directories.

    Args:
        stream: Empty, writable, readable and seekable.
        picture: What to write.
    """
    channels = picture.channels + (picture.alpha is not None)
    write_tiff_pages(stream, [picture], picture.size.pixels * channels * picture.pixels.itemsize)


def is_big_tiff(most_bytes: int) -> bool:
    """Whether so many bytes of pixels make a BigTIFF, which is written without the EXIF directories."""
    return most_bytes >= _CLASSIC_LIMIT


def loses_exif(exif: bytes) -> bool:
    """Whether an EXIF block has values that are not written to a TIFF, in any of its directories."""
    try:
        block = Image.Exif()
        block.load(EXIF_PREFIX + exif)
        written = tags_shared_with_exif(block)
        lost = set(block) - set(written) - _OF_THE_PIXELS
        return bool(lost) or any(set(block.get_ifd(tag)) - set(written.get(tag, ())) for tag in _PLACEHOLDERS)
    except BAD_EXIF:
        return True


def write_tiff_pages(stream: BinaryIO, pictures: Iterable[Picture], most_bytes: int) -> None:
    """Write pictures as pages, each as `write_tiff` does.

    Args:
        stream: Empty, writable, readable and seekable.
        pictures: At least one.
        most_bytes: How many bytes their pixels take, at most.
    """
    import tifffile

    big = is_big_tiff(most_bytes)
    with tifffile.TiffWriter(stream, bigtiff=big, byteorder="<") as writer:
        directories = [_write_page(writer, picture, big) for picture in pictures]
    for page, values in enumerate(directories):
        for code, inner in values.items():
            _append_directory(stream, page, code, inner)


def _write_page(writer: Any, picture: Picture, big: bool) -> dict[int, Any]:
    """Write a page and return the directories that are to be appended, by their tag."""
    width, height = picture.size
    channels = picture.channels + (picture.alpha is not None)
    rows = max(1, _STRIP // (width * channels * picture.pixels.itemsize))
    texts = _exif_tags(picture.metadata)
    directories = {code: texts.pop(code) for code in _PLACEHOLDERS if code in texts}
    if big:
        directories.clear()
    writer.write(
        map_in_order(_compress, picture.bands(rows)),
        shape=(height, width, channels)[: 3 if channels > 1 else 2],
        dtype=picture.pixels.dtype,
        photometric="rgb" if picture.channels == 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        rowsperstrip=rows,
        resolution=picture.metadata.dpi,
        resolutionunit="inch" if picture.metadata.dpi else None,
        extratags=[
            *(_extra_tag(code, value) for code, value in texts.items()),
            *((_PLACEHOLDERS[code], _LONG, 1, 0, True) for code in directories),
            *_blocks(picture),
        ],
        metadata=None,
        software=False,
    )
    return directories


def _extra_tag(code: int, value: Any) -> tuple[int, int, int, Any, bool]:
    if isinstance(value, bytes):
        return code, _BYTE, len(value), value, True
    if isinstance(value, int) and 0 <= value < 2**16:
        return code, _SHORT, 1, value, True
    return code, _ASCII, 0, str(value).encode("latin-1", "replace"), True


def _blocks(picture: Picture) -> Iterator[tuple[int, int, int, bytes, bool]]:
    icc, xmp = picture.metadata.icc_for(picture.channels), picture.metadata.xmp
    if xmp:
        yield 700, _BYTE, len(xmp), xmp, True
    if icc:
        yield 34675, _UNDEFINED, len(icc), icc, True


def _compress(strip: NDArray[Any]) -> bytes:
    """Each value less the one to its left (predictor 2 of TIFF 6.0, section 14), then Deflate."""
    difference = np.ascontiguousarray(strip, f"<u{strip.itemsize}").copy()
    difference[:, 1:] -= strip[:, :-1]
    return zlib.compress(difference.tobytes(), 6)


def _exif_tags(metadata: Metadata) -> dict[int, Any]:
    """What of the EXIF block has a place in a TIFF: texts, and the inner directories as dictionaries."""
    if metadata.exif is None:
        return {}
    try:
        block = Image.Exif()
        block.load(EXIF_PREFIX + metadata.exif)
        return tags_shared_with_exif(block)
    except BAD_EXIF:
        return {}


def _append_directory(stream: BinaryIO, page: int, code: int, values: dict[int, Any]) -> None:
    """Write a directory at the end of the file and turn the placeholder for it into its tag."""
    import tifffile

    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\x00\x00\x00\x00\x00", group=code)
    for tag, value in values.items():
        directory[tag] = value
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        entry = file.pages[page].tags[_PLACEHOLDERS[code]].offset
    end = stream.seek(0, 2)
    stream.write(bytes(end % 2))
    end += end % 2
    stream.write(directory.tobytes(end))
    stream.seek(entry)
    stream.write(struct.pack("<HHII", code, 4, 1, end))
