"""Opens images with Pillow, independent of its global limits, which belong to the host and its other threads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import BinaryIO, cast

from PIL import Image, UnidentifiedImageError

from lib_upscale.errors import PictureError, PictureTooLargeError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.boxes import avif_bits
from lib_upscale.image.io.formats import has_signature, is_heif, is_jpeg_xl
from lib_upscale.image.io.jpeg_xl import jpeg_xl_header, jpeg_xl_metadata
from lib_upscale.image.io.notes import LACKS_END, note
from lib_upscale.image.metadata import find_orientation, strip_exif_prefix
from lib_upscale.image.pillow import extract_metadata

__all__ = [
    "ANIMATED",
    "DEFAULT_LIMIT",
    "check_pixels",
    "decoding",
    "heif_bits",
    "load",
    "open_file",
    "open_image",
    "say_lost",
    "say_missing_end",
    "upright_size",
]

DEFAULT_LIMIT = 2**28
"""The most pixels that are read unless told otherwise: 16384 x 16384."""

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF", "JXL")
"""The formats, as Pillow calls them, whose frames are those of an animation. Others hold other images: both eyes' views
(MPO), brightness for HDR, a burst (HEIF)."""
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "DDS", "QOI", "HEIF", "JXL")
_STRICT = ("JPEG", "MPO", "BMP", "DIB", "PPM", "GIF", "TGA", "QOI", "DDS")
_lifting = Lock()
_BY_SUFFIX = {".tga": "TGA"}  # it has no signature, so anything could be one


class _Strict(io.BufferedReader):
    """A file whose end is an error once `strict` is set.

    A host may have set Pillow's `LOAD_TRUNCATED_IMAGES` for all its threads; Pillow then fills what is missing with
    gray. Every decoder is done before it asks for more than there is, unless the file breaks off.
    """

    strict = False
    may_lack_end = False
    """Whether a single byte, such as the last one of a GIF that says that no more blocks follow, may be missing."""
    lacks_end = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.strict and not data and size != 0:
            if size != 1 or not self.may_lack_end:
                raise OSError("it breaks off")
            self.lacks_end = True
        return data


def say_missing_end(path: Path, stream: BinaryIO | None = None) -> None:
    """Note that a file was read whose end is missing; with `stream`, only if it was found missing there."""
    if stream is None or (isinstance(stream, _Strict) and stream.lacks_end):
        note(path, LACKS_END)


def heif_bits(stream: BinaryIO, image: Image.Image) -> int:
    """The bits of a channel of an opened HEIF or AVIF."""
    return avif_bits(stream) if image.format == "AVIF" else int(image.info.get("bit_depth", 8))


def say_lost(path: Path, stream: BinaryIO, image: Image.Image, bits: int) -> None:
    """Note what an opened image holds that is not read of it, `bits` of each channel being read."""
    depth = heif_bits(stream, image) if image.format in ("HEIF", "AVIF") else bits
    if image.format == "JXL":
        header = jpeg_xl_header(stream)
        depth = header.bits
        if header.animated:
            note(path, "is an animation, of which one frame is read")
        if unread := jpeg_xl_metadata(stream).unread:
            note(path, f"read without its {' and '.join(unread)}, which can't be unpacked (pip install brotli)")
    if bits == 8 < depth:
        note(path, f"has {depth} bits a channel, of which 8 are read")


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read an image from.

    Raises:
        PictureError: The system refuses, also inside the block.
    """
    try:
        with _Strict(io.FileIO(path)) as stream:
            yield cast(BinaryIO, stream)
    except FileNotFoundError as error:
        raise PictureError(path, "does not exist", "it may have been moved meanwhile") from error
    except IsADirectoryError as error:
        raise PictureError(path, "is a folder, not an image") from error
    except PermissionError as error:
        raise PictureError(path, "can't be read, the system does not allow it", "check its permissions") from error
    except OSError as error:
        raise PictureError(path, f"can't be read ({error.strerror or error})") from error


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises for a bad file into a `PictureError`."""
    try:
        yield
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureTooLargeError(path, "does not fit into memory", "close other programs or crop it first") from error
    except Exception as error:  # decoders raise whatever their parsing runs into
        raise PictureError(path, f"is damaged or incomplete ({error})", "get it again from where it came") from error


def open_image(path: Path, stream: BinaryIO, limit_pixels: int | None) -> Image.Image:
    """Open an image with Pillow: its header is read and its pixels are not.

    Raises:
        PictureError: The file is empty, damaged or not an image.
        PictureTooLargeError: It has more than `limit_pixels` pixels (None: no limit).
    """
    Image.init()
    stream.seek(0)
    start = stream.read(16)
    if not start:
        raise PictureError(path, "is empty", "get it again from where it came")
    _register_plugins(start)
    formats = [name for name in (*_FORMATS, _BY_SUFFIX.get(path.suffix.lower())) if name in Image.OPEN]
    with decoding(path), _without_hosts_limit():
        try:
            image = Image.open(stream, formats=formats)
        except UnidentifiedImageError as error:
            raise _refuse(path, start) from error
    check_pixels(path, Size(*image.size), limit_pixels)
    if image.format == "JPEG2000" and len(image.getbands()) > 1 and (bits := _jpeg_2000_bits(stream)) > 8:
        # Pillow rounds them to 8 bits without a check for overflow: white becomes black.
        raise PictureError(
            path, f"is a JPEG 2000 with colors of {bits} bits, which can't be read", "convert it to TIFF"
        )
    if isinstance(stream, _Strict):
        stream.strict = image.format in _STRICT
        stream.may_lack_end = image.format == "GIF"
    if image.format == "JXL":  # whose plugin reads EXIF only where it is not packed, and no XMP
        found = jpeg_xl_metadata(stream)
        image.info.update({key: body for key, body in (("exif", found.exif), ("xmp", found.xmp)) if body})
    return image


def _jpeg_2000_bits(stream: BinaryIO) -> int:
    """The most bits of a component, by the marker SIZ (ITU-T T.800, A.5.1); 0 where it is not found."""
    stream.seek(0)
    head = stream.read(2**20)
    at = head.find(b"\xff\x4f\xff\x51") + 40
    count = int.from_bytes(head[at : at + 2], "big")
    return max(((depth & 0x7F) + 1 for depth in head[at + 2 : at + 2 + 3 * count : 3]), default=0) if at >= 40 else 0


def _register_plugins(start: bytes) -> None:
    """Let Pillow read HEIF and JPEG XL where the packages for it are installed."""
    if is_heif(start) and "HEIF" not in Image.OPEN and find_spec("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()
    if is_jpeg_xl(start) and "JXL" not in Image.OPEN and find_spec("pillow_jxl"):
        import_module("pillow_jxl")


def upright_size(image: Image.Image) -> Size:
    """The size of an opened image once its orientation is applied."""
    turned = find_orientation(strip_exif_prefix(extract_metadata(image))) > 4
    return Size(image.height, image.width) if turned else Size(image.width, image.height)


def _refuse(path: Path, start: bytes) -> PictureError:
    if start[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in Image.OPEN:
        return PictureError(path, "is an AVIF image, which this Pillow can't read", "install Pillow 11.3 or later")
    if is_heif(start) and "HEIF" not in Image.OPEN:
        advice = "convert it to PNG or JPEG, or pip install pillow-heif"
        return PictureError(path, "is a HEIF image, which can't be read", advice)
    if is_jpeg_xl(start) and "JXL" not in Image.OPEN:
        advice = "convert it to PNG or JPEG, or pip install pillow-jxl-plugin"
        return PictureError(path, "is a JPEG XL image, which can't be read", advice)
    if has_signature(start) or start.startswith((b"BM", b"DDS ", b"qoif", b"\x00\x00\x00\x0cjP")):
        return PictureError(path, "is damaged or incomplete", "get it again from where it came")
    return PictureError(path, "is not an image, or of a kind that is not supported", "convert it to PNG or JPEG")


def load(image: Image.Image, frame: int = 0) -> None:
    """Decode the pixels of one frame of an image whose size was checked, whatever the host's own limit says."""
    most = Image.MAX_IMAGE_PIXELS
    with _without_hosts_limit() if most is not None and image.width * image.height > most else nullcontext():
        if frame:
            size = image.size
            image.seek(frame)
            if image.size != size:  # Pillow grows the image for a GIF's frame that lies outside
                raise OSError("a frame is larger than the image")
        image.load()


@contextmanager
def _without_hosts_limit() -> Iterator[None]:
    """Lift `Image.MAX_IMAGE_PIXELS` for a moment: neither `Image.open` nor decoders take an argument for it."""
    with _lifting:
        most = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = most


def _megapixels(pixels: int) -> str:
    """Whole millions from a hundred on, else three digits that count: "179", "8.5", "0.01"."""
    return f"{pixels / 1e6:,.0f}" if pixels >= 100 * 10**6 else f"{pixels / 1e6:.3g}"


def check_pixels(path: Path, size: Size, limit: int | None) -> None:
    """Raise `PictureTooLargeError` if a file's header promises more pixels than `limit` (None: no limit)."""
    if limit is not None and size.pixels > limit:
        raise PictureTooLargeError(
            path,
            f"has {size} pixels, more than the limit of {_megapixels(limit)} megapixels",
            "if you trust the file, raise the limit",
        )
