"""Brings an image to what a format can hold: what has another form there takes it, what has none is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from types import MappingProxyType

from lib_upscale.image.alpha import WHITE, drop_alpha
from lib_upscale.image.icc import profile_of_chunks, to_srgb
from lib_upscale.image.io.formats import Format, Part, limits
from lib_upscale.image.io.notes import note
from lib_upscale.image.io.tiff.writer import is_big_tiff, loses_exif
from lib_upscale.image.metadata import (
    COMMENT,
    EXIF_PREFIX,
    PARAMETERS,
    XMP_PREFIX,
    Metadata,
    exif_for_photo,
    loses_values,
    without_large_parts,
    without_orientation,
    without_xmp_padding,
)
from lib_upscale.image.picture import Picture

__all__ = ["Fitted", "fit_one_of", "fit_to_format", "note_lost"]

_LARGE = 8192
"""Bytes above which a value, such as a camera's own notes, is left out of an EXIF block that JPEG can't hold."""
_SEGMENT = 65533
"""The most bytes that a segment of a JPEG can hold."""
_USUAL = (72, 96)
"""Pixels per inch that programs write where nobody has chosen any."""
_MOST_NAMES = 5
_UNUSUAL = "unusual EXIF values"


@dataclass(frozen=True)
class Fitted:
    """A picture of which a format can hold everything.

    Attributes:
        picture: The pixels and the metadata that are to be written.
        lost: What could not be kept, in words for users; empty where nothing was lost.
    """

    picture: Picture
    lost: tuple[str, ...] = ()


def fit_to_format(picture: Picture, format: Format, background: tuple[int, int, int] = WHITE) -> Fitted:
    """Bring a picture to what the format can hold.

    Without 16 bits it is rounded to 8, without alpha laid on `background`, without a color profile converted to sRGB.
    Both are no loss that is named: they are what the format is. PNG's color chunks become a profile, the WebUI's
    parameters the EXIF user comment.
    """
    bound = limits(format)
    picture = picture if bound.alpha else drop_alpha(picture, background)
    picture = picture if bound.sixteen else picture.with_bits(8)
    lost: list[str] = []
    metadata = _fit_texts(picture.metadata, bound.holds, lost)
    metadata = _fit_color_chunks(metadata, picture.channels, bound.holds, lost)
    picture = _fit_profile(picture.with_metadata(metadata), format, lost)
    metadata = _fit_blocks(picture.metadata, bound.holds, lost)
    if metadata.exif and (part := _EXIF_LIMITS.get(format)) is not None:
        metadata = part(picture, metadata, lost)
    if metadata.xmp and format is Format.JPEG:
        metadata = _fit_xmp_segment(metadata, lost)
    return Fitted(picture.with_metadata(metadata), tuple(dict.fromkeys(lost)))


def fit_one_of(
    picture: Picture, format: Format, lost: dict[str, None], background: tuple[int, int, int] = WHITE
) -> Picture:
    """Bring one of a file's pictures to what the format can hold; what is lost is added to `lost`, once for all."""
    fitted = fit_to_format(picture, format, background)
    lost.update(dict.fromkeys(fitted.lost))
    return fitted.picture


def note_lost(path: str | PathLike[str], format: Format, lost: Sequence[str]) -> None:
    """Log what the file of a picture does not hold."""
    if lost:
        listed = f"{', '.join(lost[:-1])} and {lost[-1]}" if len(lost) > 1 else lost[0]
        note(path, f"written without its {listed}, which {format.name} can't hold")


def _fit_texts(metadata: Metadata, holds: frozenset[Part], lost: list[str]) -> Metadata:
    if Part.TEXTS in holds:
        return metadata
    if Part.EXIF in holds:
        exif = exif_for_photo(metadata)
        if metadata.exif is not None and exif != metadata.exif and loses_values(metadata.exif):
            lost.append(_UNUSUAL)
        metadata = replace(metadata, exif=exif).with_text(PARAMETERS, None)
    kept = {key: text for key, text in metadata.text.items() if key == COMMENT and Part.COMMENT in holds}
    names = [key for key in metadata.text if key not in kept]
    if names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lost.append(f"text{'s' if len(names) > 1 else ''} {', '.join(names[:_MOST_NAMES])}{more}")
    return replace(metadata, text=MappingProxyType(kept))


def _fit_color_chunks(metadata: Metadata, channels: int, holds: frozenset[Part], lost: list[str]) -> Metadata:
    chunks = metadata.png_color
    if Part.PNG_COLOR in holds or not chunks:
        return metadata
    metadata = replace(metadata, png_color=MappingProxyType({}))
    if metadata.icc is not None and "cICP" not in chunks:
        return metadata  # which counts before the others (PNG third edition, 4.3)
    profile = profile_of_chunks(chunks, channels)
    if profile is None:
        lost.append("HDR colors" if "cICP" in chunks else "color chunks")
    return replace(metadata, icc=profile or None) if profile is not None else metadata


def _fit_profile(picture: Picture, format: Format, lost: list[str]) -> Picture:
    metadata = picture.metadata
    if metadata.icc is None:
        return picture
    profile = metadata.icc_for(picture.channels)
    # WebP and AVIF are written as RGB even where the picture is gray; a profile for gray would be wrong there.
    as_rgb = format in (Format.WEBP, Format.AVIF) and picture.channels == 1
    if profile is not None and Part.PROFILE in limits(format).holds and not as_rgb:
        return picture
    pixels = None if profile is None else to_srgb(picture.with_bits(8).pixels, profile)
    if pixels is None:
        lost.append("color profile")
        return picture.with_metadata(replace(metadata, icc=None))
    return Picture(pixels, picture.with_bits(8).alpha, replace(metadata, icc=None))


def _fit_blocks(metadata: Metadata, holds: frozenset[Part], lost: list[str]) -> Metadata:
    if metadata.exif and Part.EXIF not in holds:
        lost.append("EXIF")
        metadata = replace(metadata, exif=None)
    if metadata.xmp and Part.XMP not in holds:
        lost.append("XMP")
        metadata = replace(metadata, xmp=None)
    if metadata.dpi and Part.RESOLUTION not in holds:
        if any(round(per_inch) not in _USUAL for per_inch in metadata.dpi):
            lost.append("print resolution")
        metadata = replace(metadata, dpi=None)
    return metadata


def _fit_exif_segment(picture: Picture, metadata: Metadata, lost: list[str]) -> Metadata:
    """The EXIF block that JPEG can hold: what is too long for it is left out part by part."""
    most = _SEGMENT - len(EXIF_PREFIX)
    if metadata.exif is None or len(metadata.exif) <= most:
        return metadata
    small = without_large_parts(metadata.exif, _LARGE)
    fits = small is not None and len(small) <= most
    lost.append(f"EXIF values of over {_LARGE} bytes" if fits else f"EXIF of {len(metadata.exif)} bytes")
    return replace(metadata, exif=small if fits else None)


def _fit_exif_orientation(picture: Picture, metadata: Metadata, lost: list[str]) -> Metadata:
    exif = without_orientation(metadata.exif or b"")
    if exif is None:
        lost.append("damaged EXIF")
    elif exif != metadata.exif and loses_values(metadata.exif or b""):
        lost.append(_UNUSUAL)
    return replace(metadata, exif=exif or None)


def _fit_exif_directories(picture: Picture, metadata: Metadata, lost: list[str]) -> Metadata:
    channels = picture.channels + (picture.alpha is not None)
    if is_big_tiff(picture.size.pixels * channels * picture.pixels.itemsize):
        lost.append("camera data in EXIF (over 4 GB)")
    elif metadata.exif is not None and loses_exif(metadata.exif):
        lost.append(_UNUSUAL)
    return metadata


def _fit_xmp_segment(metadata: Metadata, lost: list[str]) -> Metadata:
    xmp = metadata.xmp or b""
    if len(XMP_PREFIX) + len(xmp) > _SEGMENT:
        xmp = without_xmp_padding(xmp)
    if len(XMP_PREFIX) + len(xmp) > _SEGMENT:
        lost.append(f"XMP of {len(xmp)} bytes")
        xmp = b""
    return replace(metadata, xmp=xmp or None)


_EXIF_LIMITS: dict[Format, Callable[[Picture, Metadata, list[str]], Metadata]] = {
    Format.JPEG: _fit_exif_segment,
    Format.TIFF: _fit_exif_directories,
    Format.AVIF: _fit_exif_orientation,
}
