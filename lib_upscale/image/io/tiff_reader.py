"""Reads TIFF files, above all those with more than 8 bits a channel, which Pillow has no mode for.

tifffile unpacks them. What it needs the package imagecodecs for, such as LZW, goes through Pillow's libtiff.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.metadata import BAD_EXIF, EXIF_IFD, Metadata
from lib_upscale.image.pillow import extract_pixels, float_levels

__all__ = [
    "GPS_IFD",
    "TiffError",
    "TiffHeader",
    "read_deep_tiff",
    "tags_shared_with_exif",
    "tiff_header",
    "tiff_metadata",
]

Pixels = NDArray[Any]

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_XMP, _ICC, GPS_IFD = 700, 34675, 34853
_WORDS = (270, 271, 272, 305, 306, 315, 33432)
"""Description, make, model, software, date, artist, copyright: what a TIFF's own directory shares with EXIF."""


class TiffError(UpscalePlusError):
    """Raised when a TIFF can't be read. The problem is without the file's name."""


@dataclass(frozen=True)
class TiffHeader:
    """The first directory of a TIFF file: the size as it lies in the file, the most bits a channel, the orientation."""

    size: Size
    bits: int
    orientation: int
    tags: Mapping[int, Any]


def tiff_header(stream: BinaryIO) -> TiffHeader:
    """Read the first directory, no pixels. Raises `TiffError`."""
    try:
        stream.seek(0)
        head = stream.read(8)
        if len(head) > 2 and 43 in (head[2], head[3]):  # BigTIFF
            head += stream.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        stream.seek(directory.next)
        directory.load(stream)
        bits = directory.get(_BITS, (1,))
        turn = directory.get(_ORIENTATION, 1)
        return TiffHeader(
            size=Size(int(directory[_WIDTH]), int(directory[_HEIGHT])),
            bits=max(bits) if isinstance(bits, tuple) else int(bits),
            orientation=turn if isinstance(turn, int) and 1 <= turn <= 8 else 1,
            tags=dict(directory),
        )
    except BAD_EXIF as error:
        raise TiffError("is damaged, it has no readable directory", "get it again from where it came") from error


def tiff_metadata(stream: BinaryIO, header: TiffHeader) -> Metadata:
    """What the tags say beside the pixels; the EXIF block is put together anew, without the orientation."""
    tags = header.tags
    xmp = tags.get(_XMP)
    icc = tags.get(_ICC)
    return Metadata(
        icc=icc if isinstance(icc, bytes) else None,
        exif=_exif(stream),
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=_dpi(tags),
    )


def read_deep_tiff(stream: BinaryIO) -> tuple[Pixels, Pixels | None]:
    """Read a TIFF with over 8 bits a channel.

    32-bit whole numbers lose their low half; for floats see `float_levels`.

    Returns:
        Pixels (height, width, 1 or 3) as uint16, and alpha (height, width) or None.

    Raises:
        TiffError: The file is damaged, or of a kind that is not supported.
    """
    found = _through_tifffile(stream) or _through_pillow(stream)
    if found is None:
        raise TiffError(
            "has 16 bits a channel and needs a package", "pip install imagecodecs, or save it with Deflate compression"
        )
    return found


def _through_tifffile(stream: BinaryIO) -> tuple[Pixels, Pixels | None] | None:
    """Whatever tifffile can unpack; None where it needs imagecodecs and that is missing."""
    import tifffile

    try:
        stream.seek(0)
        with tifffile.TiffFile(stream) as file:
            page = file.pages[0]
            values = np.asarray(page.asarray())
            samples, photometric = int(page.samplesperpixel), int(page.photometric)
            extra = tuple(int(kind) for kind in page.extrasamples)
            if int(page.planarconfig) == 2 and samples > 1:
                values = np.moveaxis(values, 0, -1)
    except Exception as error:
        if "imagecodecs" in str(error):
            return None
        raise TiffError(f"is damaged ({error})", "get it again from where it came") from error
    values = _to_sixteen_bits(values if values.ndim == 3 else values[..., None])
    colors = {0: 1, 1: 1, 2: 3}.get(photometric)
    if colors is None or values.ndim != 3 or values.shape[2] < colors:
        raise TiffError("has 16 bits a channel in a color space that is not supported", "save it as RGB")
    pixels = np.ascontiguousarray(values[..., :colors])
    if photometric == 0:  # 0 is white
        pixels = 65535 - pixels
    if values.shape[2] == colors or not extra:
        return pixels, None
    alpha = np.ascontiguousarray(values[..., colors])
    return (_unpremultiply(pixels, alpha) if extra[0] == 1 else pixels), alpha


def _through_pillow(stream: BinaryIO) -> tuple[Pixels, Pixels | None] | None:
    """Gray, RGB and RGBA in 16 bits, whatever compression Pillow's libtiff knows; None for all else.

    Pillow decodes RGB to 8 bits, but which byte of each channel it keeps is said in the tile's raw mode: "16L" the
    second byte, "16B" the first. So it is decoded twice.
    """
    try:
        stream.seek(0)
        try:
            image = TiffImagePlugin.TiffImageFile(stream)
        except SyntaxError:  # what Pillow says to channels that it has no mode for
            return None
        if image.mode.startswith("I;16") and image.tag_v2.get(_PHOTOMETRIC) == 1:
            image.load()
            return extract_pixels(image)[:2]
        halves = [_half(stream, order) for order in ("B", "L")]
    except (OSError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise TiffError(f"is damaged ({error})", "get it again from where it came") from error
    if halves[0] is None or halves[1] is None:
        return None
    (first, stored), (second, _) = halves[0], halves[1]
    high, low = (first, second) if stored == "B" else (second, first)
    values = high.astype(np.uint16) << 8 | low
    return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]) if values.shape[2] > 3 else None


def _half(stream: BinaryIO, order: str) -> tuple[Pixels, str] | None:
    """One byte of each channel, and the order that the bytes come in from the decoder: "B" for high byte first."""
    stream.seek(0)
    image = TiffImagePlugin.TiffImageFile(stream)
    wanted = f"{image.mode};16"
    tiles: list[Any] = []
    stored = ""
    for tile in image.tile:
        codec, extents, offset, found = tile
        arguments: tuple[Any, ...] = found if isinstance(found, tuple) else (found,)
        if image.mode not in ("RGB", "RGBA") or not str(arguments[0]).startswith(wanted):
            return None
        stored = str(arguments[0])[len(wanted) :]
        changed = (codec, extents, offset, (wanted + order, *arguments[1:]))
        tiles.append(changed if type(tile) is tuple else type(tile)(*changed))  # plain tuples before Pillow 11
    image.tile = tiles
    image.load()
    native = "L" if sys.byteorder == "little" else "B"
    return np.array(image), native if stored == "N" else stored


def _to_sixteen_bits(values: Pixels) -> Pixels:
    if values.dtype == np.uint16:
        return values
    if values.dtype.kind == "f":
        deep: Pixels = float_levels(values)
        return deep
    if values.dtype == np.uint32:
        halved: Pixels = np.right_shift(values, 16).astype(np.uint16)
        return halved
    if values.dtype == np.uint8:
        widened: Pixels = values.astype(np.uint16) * np.uint16(257)
        return widened
    raise TiffError(f"has channels of type {values.dtype}, which are not supported", "save it with 16 bits a channel")


def _unpremultiply(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Colors that were stored multiplied by their alpha, divided by it again."""
    opacity = np.maximum(alpha, 1)[..., None].astype(np.float32) / np.float32(65535)
    result: Pixels = np.clip(np.rint(pixels / opacity), 0, 65535).astype(np.uint16)
    return result


def tags_shared_with_exif(block: Image.Exif) -> dict[int, Any]:
    """Tags that both EXIF and a TIFF's directory have, and the two inner directories as dictionaries."""
    shared: dict[int, Any] = {tag: block[tag] for tag in _WORDS if block.get(tag)}
    inner = {tag: dict(block.get_ifd(tag)) for tag in (EXIF_IFD, GPS_IFD) if tag in block}
    return shared | {tag: values for tag, values in inner.items() if values}


def _exif(stream: BinaryIO) -> bytes | None:
    try:
        stream.seek(0)
        found, kept = Image.Exif(), Image.Exif()
        found.load_from_fp(stream)
        for tag, value in tags_shared_with_exif(found).items():
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
    return (found[0] * per_inch, found[1] * per_inch) if per_inch and min(found) > 0 else None
