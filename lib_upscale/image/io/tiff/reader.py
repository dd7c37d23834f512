"""Reads TIFF files: directories, metadata, and the pixels that Pillow has no mode for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.tiff.samples import Samples, TiffError, read_samples, scale_samples
from lib_upscale.image.metadata import BAD_EXIF, EXIF_IFD, Metadata, print_resolution, writable_values
from lib_upscale.image.pillow import float_levels

__all__ = [
    "GPS_IFD",
    "TiffError",
    "TiffHeader",
    "read_deep_tiff",
    "tags_shared_with_exif",
    "tiff_headers",
    "tiff_metadata",
]

Pixels = NDArray[Any]

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_XMP, _ICC, GPS_IFD = 700, 34675, 34853
_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_SAMPLE_FORMAT, _SUBFILE, _OLD_SUBFILE = 339, 254, 255
_PREMULTIPLIED, _STRAIGHT = 1, 2
_WORDS = (270, 271, 272, 305, 306, 315, 316, 33432)
"""Description, make, model, software, date, artist, computer, copyright: what a TIFF has as EXIF does."""
_BY_WINDOWS: Mapping[int, type] = {18246: int, 18249: int, **dict.fromkeys(range(40091, 40096), bytes)}
"""The rating, and title, comment, author, keywords and subject, as Windows writes them into both, with their types."""


@dataclass(frozen=True)
class TiffHeader:
    """A directory of a TIFF file.

    Attributes:
        size: As it lies in the file.
        bits: The most a channel.
        unsigned: Whether channels are unsigned integers.
        orientation: 1 to 8.
        is_copy: Whether it holds a smaller copy or a mask of another page.
        number: Of the directory, from 0.
        offset: Of the directory in the file.
        tags: All of them, by number.
    """

    size: Size
    bits: int
    unsigned: bool
    orientation: int
    is_copy: bool
    number: int
    offset: int
    tags: Mapping[int, Any]


def tiff_headers(stream: BinaryIO) -> list[TiffHeader]:
    """Read the directories of a TIFF that hold pages, no pixels; smaller copies and masks of pages are left out.

    Raises:
        TiffError: There is none that can be read.
    """
    headers: list[TiffHeader] = []
    try:
        stream.seek(0)
        head = stream.read(8)
        if len(head) > 2 and 43 in (head[2], head[3]):  # BigTIFF
            head += stream.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        offsets: set[int] = set()
        while directory.next and directory.next not in offsets:
            offsets.add(directory.next)
            offset = stream.seek(directory.next)
            directory.load(stream)
            headers.append(_header(directory, len(headers), offset))
    except BAD_EXIF as error:
        if not headers:
            raise TiffError("is damaged, it has no readable directory", "get it again from where it came") from error
    if not headers:
        raise TiffError("is damaged, it has no directory", "get it again from where it came")
    return [header for header in headers if not header.is_copy] or headers[:1]


def _header(directory: Any, number: int, offset: int) -> TiffHeader:
    bits = directory.get(_BITS, (1,))
    kinds = directory.get(_SAMPLE_FORMAT, (1,))
    turn = directory.get(_ORIENTATION, 1)
    return TiffHeader(
        size=Size(int(directory[_WIDTH]), int(directory[_HEIGHT])),
        bits=max(bits) if isinstance(bits, tuple) else int(bits),
        unsigned=set(kinds if isinstance(kinds, tuple) else (kinds,)) <= {1, 4},
        orientation=turn if isinstance(turn, int) and 1 <= turn <= 8 else 1,
        is_copy=bool(int(directory.get(_SUBFILE, 0)) & 5) or directory.get(_OLD_SUBFILE) == 2,
        number=number,
        offset=offset,
        tags=dict(directory),
    )


def tiff_metadata(stream: BinaryIO, header: TiffHeader) -> Metadata:
    """What the tags say beside the pixels; the EXIF block is put together anew, without the orientation."""
    tags = header.tags
    xmp = tags.get(_XMP)
    icc = tags.get(_ICC)
    return Metadata(
        icc=icc if isinstance(icc, bytes) else None,
        exif=_exif(stream, header.offset),
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=_dpi(tags),
    )


def read_deep_tiff(stream: BinaryIO, number: int = 0) -> tuple[Pixels, Pixels | None]:
    """Read a page of a TIFF that Pillow has no mode for, above all those with over 8 bits a channel.

    Integers span black to white with their own bits; numbers over 16 bits lose their lower ones; for floats see
    `float_levels`.

    Args:
        stream: The file.
        number: Of the directory, from 0.

    Returns:
        Pixels (height, width, 1 or 3) as uint8 or uint16, and alpha (height, width) or None.

    Raises:
        TiffError: The file is damaged, or of a kind that is not supported.
    """
    import tifffile

    try:
        stream.seek(0)
        with tifffile.TiffFile(stream) as file:
            page = file.pages[number]
            photometric = int(page.photometric)
            extra = tuple(int(kind) for kind in page.extrasamples)
            samples = read_samples(page)
    except (UpscalePlusError, MemoryError):
        raise
    except Exception as error:  # tifffile raises whatever its parsing runs into
        raise TiffError(f"is damaged ({error})", "get it again from where it came") from error
    colors = {0: 1, 1: 1, 2: 3}.get(photometric)
    if colors is None or samples.values.shape[2] < colors:
        raise TiffError(f"has {samples.bits} bits a channel in a color space that is not supported", "save it as RGB")
    pixels = _scale(replace(samples, values=samples.values[..., :colors]))
    top = np.iinfo(pixels.dtype).max
    if photometric == 0:  # 0 is white
        pixels = top - pixels
    kind, place = _alpha_place(extra, samples.values.shape[2] - colors)
    if not kind:
        return pixels, None
    alpha = _scale(replace(samples, values=samples.values[..., colors + place : colors + place + 1]))[..., 0]
    return (_unpremultiply(pixels, alpha) if kind == _PREMULTIPLIED else pixels), alpha


def _scale(samples: Samples) -> Pixels:
    levels = float_levels(samples.values) if samples.values.dtype.kind == "f" else scale_samples(samples)
    return np.ascontiguousarray(levels)


def _alpha_place(extra: tuple[int, ...], count: int) -> tuple[int, int]:
    """The kind of alpha and which of the `count` extra samples it is; kind 0 where none of them is alpha.

    TIFF 6.0, ExtraSamples: 0 is anything, 1 alpha that the colors were multiplied by, 2 alpha. Where the tag is
    missing a single extra sample is taken for alpha, as Pillow does.
    """
    if not extra and count == 1:
        return _STRAIGHT, 0
    return next(((kind, at) for at, kind in enumerate(extra[:count]) if kind in (_PREMULTIPLIED, _STRAIGHT)), (0, 0))


def _unpremultiply(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Colors that were stored multiplied by their alpha, divided by it again."""
    top = np.iinfo(pixels.dtype).max
    opacity = np.maximum(alpha, 1)[..., None].astype(np.float32) / np.float32(top)
    result: Pixels = np.clip(np.rint(pixels / opacity), 0, top).astype(pixels.dtype)
    return result


def tags_shared_with_exif(block: Image.Exif) -> dict[int, Any]:
    """Tags that both EXIF and a TIFF's directory have, and the two inner directories as dictionaries."""
    shared: dict[int, Any] = {tag: block[tag] for tag in _WORDS if block.get(tag)}
    shared |= {tag: block[tag] for tag, kind in _BY_WINDOWS.items() if _is_of_kind(block.get(tag), kind)}
    inner = {tag: writable_values(block.get_ifd(tag), tag) for tag in (EXIF_IFD, GPS_IFD) if tag in block}
    return shared | {tag: values for tag, values in inner.items() if values}


def _is_of_kind(value: object, kind: type) -> bool:
    return isinstance(value, kind) and (not isinstance(value, int) or 0 <= value < 2**16)


def _exif(stream: BinaryIO, offset: int) -> bytes | None:
    try:
        stream.seek(0)
        head = stream.read(4)
        if head not in _ORDERS:  # a BigTIFF, whose offsets Pillow's EXIF reader doesn't understand
            return None
        found, kept = Image.Exif(), Image.Exif()
        found.endian = _ORDERS[head]
        found.load_from_fp(stream, offset)
        for tag, value in writable_values(tags_shared_with_exif(found)).items():
            kept[tag] = value
        return bytes(kept.tobytes())[6:] if len(kept) else None
    except BAD_EXIF:
        return None  # it is of no use to anyone then


def _dpi(tags: Mapping[int, Any]) -> tuple[float, float] | None:
    per_inch = {2: 1.0, 3: 2.54}.get(tags.get(_RESOLUTION_UNIT, 2))
    try:
        found = float(tags[_X_RESOLUTION]), float(tags[_Y_RESOLUTION])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return print_resolution(found[0] * per_inch, found[1] * per_inch) if per_inch else None
