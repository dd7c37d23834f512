"""The image formats: their suffixes, signatures, and what each can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import features

from lib_upscale.errors import FormatLimitError, OutputError, SettingsError
from lib_upscale.image.geometry import Size

__all__ = [
    "SUPPORTED_SUFFIXES",
    "TIFF_STARTS",
    "WRITABLE_SUFFIXES",
    "Format",
    "Limits",
    "Part",
    "check_pages",
    "check_writable",
    "format_of",
    "has_signature",
    "is_heif",
    "is_jpeg_xl",
    "is_picture",
    "limits",
    "quality_options",
    "unreadable_kind",
]


class Format(str, Enum):
    """What an image can be written as. The value is the usual suffix without its dot."""

    PNG = "png"
    JPEG = "jpg"
    WEBP = "webp"
    AVIF = "avif"
    TIFF = "tif"
    GIF = "gif"
    BMP = "bmp"


class Part(Enum):
    """A kind of metadata. `COMMENT` is the one text that formats without texts may have."""

    PROFILE = "ICC profile"
    EXIF = "EXIF"
    XMP = "XMP"
    TEXTS = "texts by name"
    COMMENT = "comment"
    RESOLUTION = "print resolution"
    PNG_COLOR = "PNG's color chunks"


@dataclass(frozen=True)
class Limits:
    """What a format can hold.

    Attributes:
        side: The most pixels a side.
        pixels: The most pixels in all.
        alpha: Whether there is transparency; without it images are laid on a background when written.
        sixteen: Whether 16 bits a channel stay; else they are rounded to 8.
        animated: Whether it can hold several frames with durations.
        holds: The metadata that has a place in it. What is to be written elsewhere takes another form or is named.
    """

    side: int
    pixels: int | None = None
    alpha: bool = True
    sixteen: bool = False
    animated: bool = False
    holds: frozenset[Part] = frozenset()


_BLOCKS = frozenset((Part.PROFILE, Part.EXIF, Part.XMP))
_LIMITS: Mapping[Format, Limits] = {
    Format.PNG: Limits(2**31 - 1, sixteen=True, animated=True, holds=frozenset(Part)),
    # JPEG_MAX_DIMENSION of libjpeg; the standard's own is 65535
    Format.JPEG: Limits(65500, alpha=False, holds=_BLOCKS | {Part.COMMENT, Part.RESOLUTION}),
    Format.WEBP: Limits(16383, animated=True, holds=_BLOCKS),
    # what libavif's decoder accepts unless told otherwise
    Format.AVIF: Limits(32768, pixels=16384 * 16384, animated=True, holds=_BLOCKS),
    Format.TIFF: Limits(2**31 - 1, sixteen=True, holds=_BLOCKS | {Part.RESOLUTION}),
    Format.GIF: Limits(65535, animated=True, holds=frozenset((Part.COMMENT,))),
    # the file's length is a 32-bit number
    Format.BMP: Limits(2**31 - 1, pixels=2**32 // 3 - 2**20, alpha=False, holds=frozenset((Part.RESOLUTION,))),
}

_QUALITY = {Format.JPEG: 95, Format.WEBP: 90, Format.AVIF: 85}
"""What quality is taken where none is asked for."""

_SUFFIXES: Mapping[str, Format] = {
    ".png": Format.PNG,
    ".apng": Format.PNG,
    ".jpg": Format.JPEG,
    ".jpeg": Format.JPEG,
    ".jpe": Format.JPEG,
    ".jfif": Format.JPEG,
    ".webp": Format.WEBP,
    ".avif": Format.AVIF,
    ".tif": Format.TIFF,
    ".tiff": Format.TIFF,
    ".gif": Format.GIF,
    ".bmp": Format.BMP,
}

WRITABLE_SUFFIXES = frozenset(_SUFFIXES)
"""File suffixes, lower case with their dot, that results can be written to."""

SUPPORTED_SUFFIXES = WRITABLE_SUFFIXES | {
    ".dib",
    ".tga",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".pam",
    ".jp2",
    ".j2k",
    ".jpx",
    ".dds",
    ".qoi",
}
if find_spec("pillow_heif"):
    SUPPORTED_SUFFIXES |= {".heic", ".heif", ".hif"}
if find_spec("pillow_jxl"):
    SUPPORTED_SUFFIXES |= {".jxl"}
"""File suffixes, lower case with their dot, that a walk through folders takes for images."""

TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""The first bytes of TIFF and BigTIFF files."""


def limits(format: Format) -> Limits:
    """What a format can hold."""
    return _LIMITS[format]


def format_of(path: str | PathLike[str], format: Format | str | None = None) -> Format:
    """The format to write `path` in: `format` if given, else what its suffix says.

    Raises:
        OutputError: The suffix or name is unknown, or it is AVIF and this Pillow can't write it.
    """
    suffix = Path(path).suffix if format is None else "." + (format.value if isinstance(format, Format) else format)
    chosen = _SUFFIXES.get("." + suffix.lower().lstrip("."))
    if chosen is None:
        known = ", ".join(sorted(WRITABLE_SUFFIXES))
        reason = f"{suffix} is not a supported image format" if suffix else "its name has no suffix"
        raise OutputError(path, f"can't be written, {reason}", f"use one of {known}")
    if chosen is Format.AVIF and not _has_avif():
        raise OutputError(
            path, "can't be written, this Pillow has no AVIF", "use .webp, or install Pillow 11.3 or later"
        )
    return chosen


def check_writable(
    path: str | PathLike[str], size: Size, bits: int = 8, alpha: bool = False, format: Format | str | None = None
) -> Format:
    """The format that `path` will be written in, if it can hold an image of that size.

    A format without 16 `bits` or without `alpha` is not an error (see `Limits`): both only decide which format is
    recommended.

    Raises:
        FormatLimitError: The image is too large; the advice names formats that would do.
        OutputError: The suffix is unknown.
    """
    chosen = format_of(path, format)
    if _holds(chosen, size):
        return chosen
    bound = _LIMITS[chosen]
    most = f"{bound.side} pixels a side" if max(size) > bound.side else f"{(bound.pixels or 0) // 10**6} megapixels"
    fitting = [
        f".{other.value}"
        for other in (Format.PNG, Format.TIFF, Format.JPEG)
        if _holds(other, size) and (not alpha or _LIMITS[other].alpha) and (bits == 8 or _LIMITS[other].sixteen)
    ]
    raise FormatLimitError(
        path, f"can't hold {size} pixels, {chosen.name} ends at {most}", f"write it as {' or '.join(fitting)}"
    )


def check_pages(path: str | PathLike[str]) -> None:
    """Raise `OutputError` unless the format of `path` can hold several pages."""
    chosen = format_of(path)
    if chosen is not Format.TIFF:
        raise OutputError(path, f"can't be written, {chosen.name} can't hold several pages", "use .tif")


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


def is_picture(path: str | PathLike[str]) -> bool:
    """Whether a file is an image by its suffix or, if it has another one, by its first bytes. Never raises."""
    path = Path(path)
    try:
        if path.suffix.lower() in SUPPORTED_SUFFIXES:
            return path.is_file()
        with path.open("rb") as stream:
            return has_signature(stream.read(16))
    except OSError:
        return False


def is_heif(start: bytes) -> bool:
    """Whether a file's first 16 bytes are those of HEIF with pixels in HEVC, which AVIF does not have."""
    return start[4:11] in (b"ftyphei", b"ftyphev") or start[4:12] in (b"ftypmif1", b"ftypmsf1")


def is_jpeg_xl(start: bytes) -> bool:
    """Whether a file's first 16 bytes are those of JPEG XL, in a container or bare."""
    return start.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL "))


def unreadable_kind(path: Path) -> str | None:
    """What to say of a file that is an image of a kind that is not read; None if it is none that is known."""
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    if is_heif(start) or path.suffix.lower() in (".heic", ".heif", ".hif"):
        return "HEIF can't be read: pip install pillow-heif, or convert it to PNG or JPEG"
    if is_jpeg_xl(start) or path.suffix.lower() == ".jxl":
        return "JPEG XL can't be read: pip install pillow-jxl-plugin, or convert it to PNG or JPEG"
    if path.suffix.lower() in _OTHER_IMAGES or start.startswith((b"8BPS", b"\x76\x2f\x31\x01")):
        return f"{path.suffix or 'this kind of image'} can't be read: convert it to PNG or TIFF"
    return None


_OTHER_IMAGES = frozenset(
    (".psd", ".psb", ".exr", ".hdr", ".svg", ".svgz", ".ico", ".cur", ".icns", ".pcx", ".xcf", ".kra")
)
_OTHER_IMAGES |= {
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".dng",
    ".raf",
    ".orf",
    ".rw2",
    ".raw",
    ".fits",
    ".jxr",
    ".wdp",
    ".sgi",
}
_OTHER_IMAGES |= {".ora", ".xbm", ".xpm", ".pfm", ".eps"}
"""File suffixes of images that are not read."""


def _holds(format: Format, size: Size) -> bool:
    bound = _LIMITS[format]
    return max(size) <= bound.side and (bound.pixels is None or size.pixels <= bound.pixels)


def has_signature(start: bytes) -> bool:
    """Whether a file's first 16 bytes are those of PNG, JPEG, GIF, TIFF, WebP or AVIF, or of HEIF where it is read."""
    return (
        (is_heif(start) and ".heic" in SUPPORTED_SUFFIXES)
        or (is_jpeg_xl(start) and ".jxl" in SUPPORTED_SUFFIXES)
        or start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", *TIFF_STARTS))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or start[4:12] in (b"ftypavif", b"ftypavis")
    )


def _has_avif() -> bool:
    try:
        return bool(features.check_module("avif"))
    except ValueError:  # a Pillow that has never heard of it
        return False
