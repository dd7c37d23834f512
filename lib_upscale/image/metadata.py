"""Metadata of an image: ICC profile, EXIF, XMP, texts and print resolution."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

__all__ = [
    "BAD_EXIF",
    "COMMENT",
    "EXIF_IFD",
    "EXIF_ORIENTATION",
    "EXIF_PREFIX",
    "PARAMETERS",
    "XMP_PREFIX",
    "Metadata",
    "add_exif_comment",
    "apply_orientation",
    "exif_for_photo",
    "exif_orientation",
    "find_orientation",
    "loses_values",
    "parameters_in_exif",
    "print_resolution",
    "reset_orientation",
    "strip_exif_prefix",
    "without_large_parts",
    "without_orientation",
    "without_xmp_padding",
    "writable_values",
]

COMMENT = "Comment"
"""The key under which the comment of a JPEG or GIF is kept: PNG's own word for it."""
PARAMETERS = "parameters"
"""The key of the PNG text chunk in which the WebUI writes how a picture was made."""

EXIF_ORIENTATION = 0x0112
EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_USER_COMMENT = 0x9286
_MARK = "Steps: "
"""What the WebUI's parameters have in them, and hardly any other comment."""
_MARKS = (_MARK.encode(), _MARK.encode("utf-16-be"), _MARK.encode("utf-16-le"))
EXIF_PREFIX = b"Exif\x00\x00"
"""What JPEG, and Pillow, put before an EXIF block."""
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\x00"
"""What JPEG puts before an XMP packet."""
_XMP_ORIENTATION = (
    re.compile(rb'(tiff:Orientation\s*=\s*["\'])([1-8])(["\'])'),
    re.compile(rb"(<tiff:Orientation>\s*)([1-8])(\s*</tiff:Orientation>)"),
)
_MOST_PER_INCH = 1e6
_INTEGERS = {1: "B", 3: "H", 4: "I"}
"""How values of the TIFF types BYTE, SHORT and LONG are packed: the standard has a SHORT, writers have all three."""
BAD_EXIF = (KeyError, ValueError, TypeError, AttributeError, ArithmeticError, SyntaxError, OSError, struct.error)
"""What Pillow may run into in a damaged EXIF block, or with values of types that it does not expect."""


@dataclass(frozen=True)
class Metadata:
    """All that is known of a picture but its pixels.

    `icc` is an ICC profile; `exif` an EXIF block that starts with its TIFF header ("II*\\0" or "MM\\0*"), its
    orientation already applied to the pixels and reset to 1; `xmp` an XMP packet; `text` the PNG text chunks by
    keyword; `dpi` the print resolution (horizontal, vertical) in pixels per inch; `png_color` the bodies of the PNG
    chunks that say what the values mean (cICP, gAMA, cHRM, ...), by kind.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    text: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dpi: tuple[float, float] | None = None
    png_color: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def with_text(self, key: str, value: str | None) -> Metadata:
        """The same with one text set, or removed if `value` is None."""
        text = {k: v for k, v in self.text.items() if k != key}
        if value is not None:
            text[key] = value
        return replace(self, text=MappingProxyType(text))

    def icc_for(self, channels: int) -> bytes | None:
        """The ICC profile if it describes pictures of that many color channels (1 or 3), else None.

        A profile's bytes 16 to 20 name its color space (ICC.1:2022, table 17).
        """
        wanted = b"GRAY" if channels == 1 else b"RGB "
        return self.icc if self.icc is not None and self.icc[16:20] == wanted else None


def print_resolution(across: float, down: float) -> tuple[float, float] | None:
    """Pixels per inch as a file says them; None for what can't be meant: none, endless, not a number."""
    return (across, down) if all(0 < per_inch <= _MOST_PER_INCH for per_inch in (across, down)) else None


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block gives; 1 if it gives none or is damaged."""
    place = _orientation_place(exif)
    if place is None:
        return 1
    code, at = place
    value = int(struct.unpack_from(code, exif, at)[0])
    return value if 1 <= value <= 8 else 1


def find_orientation(metadata: Metadata) -> int:
    """The orientation, 1 to 8, by the EXIF block or, where that gives none, by the XMP packet; 1 if neither does."""
    if metadata.exif is not None and _orientation_place(metadata.exif) is not None:
        return exif_orientation(metadata.exif)
    found = next(filter(None, (pattern.search(metadata.xmp or b"") for pattern in _XMP_ORIENTATION)), None)
    return int(found[2]) if found else 1


def reset_orientation(metadata: Metadata) -> Metadata:
    """The same with orientation 1 in EXIF and XMP; everything else in them is left byte for byte."""
    exif, xmp = metadata.exif, metadata.xmp
    if exif is not None:
        place = _orientation_place(exif)
        if place is not None:
            code, at = place
            exif = exif[:at] + struct.pack(code, 1) + exif[at + struct.calcsize(code) :]
    for pattern in _XMP_ORIENTATION:
        xmp = xmp and pattern.sub(rb"\g<1>1\g<3>", xmp)
    return replace(metadata, exif=exif or None, xmp=xmp or None)


def strip_exif_prefix(metadata: Metadata) -> Metadata:
    """The same with an EXIF block that starts with its TIFF header, not with the "Exif" that JPEG puts before it."""
    exif = metadata.exif
    if exif is not None and exif.startswith(EXIF_PREFIX):
        exif = exif[len(EXIF_PREFIX) :]
    return replace(metadata, exif=exif or None)


def apply_orientation(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Rows and columns (the first two axes) turned and mirrored as an EXIF orientation from 1 to 8 asks.

    A view of `pixels` where that is possible. The meaning of the values: EXIF 2.32, 4.6.4 A, Orientation.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def parameters_in_exif(exif: bytes) -> str | None:
    """How the WebUI made a picture, from the EXIF user comment where it writes that for JPEG, WebP and AVIF.

    None if there is no user comment, or one that a camera or a person wrote.
    """
    if not any(mark in exif for mark in _MARKS):
        return None
    try:
        block = Image.Exif()
        block.load(EXIF_PREFIX + exif)
        comment = block.get_ifd(EXIF_IFD).get(_USER_COMMENT)
    except BAD_EXIF:
        return None  # a damaged block says nothing
    text = _user_comment(comment)
    return text if text is not None and _MARK in text else None


def add_exif_comment(exif: bytes | None, comment: str) -> bytes:
    """An EXIF block with `comment` as its user comment, in UTF-16 as the WebUI writes it.

    What of `exif` is damaged or can't be written anew is left out (`loses_values`).
    """
    block = Image.Exif()
    inner: dict[int, Any] = {}
    try:
        if exif:
            block.load(EXIF_PREFIX + exif)
            inner = _without_bad_values(block)
    except BAD_EXIF:
        block = Image.Exif()
    inner[_USER_COMMENT] = b"UNICODE\x00" + comment.encode("utf-16-be", "surrogatepass")
    block[EXIF_IFD] = inner
    written = bytes(block.tobytes())
    return written[len(EXIF_PREFIX) :] if written.startswith(EXIF_PREFIX) else written


def without_orientation(exif: bytes) -> bytes | None:
    """An EXIF block as Pillow writes it to AVIF, which has the orientation elsewhere; None if it is damaged."""
    try:
        block = Image.Exif()
        block.load(EXIF_PREFIX + exif)
        if EXIF_ORIENTATION not in block:
            return exif
        del block[EXIF_ORIENTATION]
        if inner := _without_bad_values(block):
            block[EXIF_IFD] = inner
        return bytes(block.tobytes()).removeprefix(EXIF_PREFIX) if len(block) else b""
    except BAD_EXIF:
        return None


def loses_values(exif: bytes) -> bool:
    """Whether an EXIF block has values that are lost when it is written anew, as with a comment."""
    try:
        block = Image.Exif()
        block.load(EXIF_PREFIX + exif)
        directories = (dict(block), block.get_ifd(EXIF_IFD), block.get_ifd(_GPS_IFD))
        count = sum(map(len, directories))
        inner = _without_bad_values(block)
        return len(block) + len(inner) + len(block.get(_GPS_IFD) or ()) < count
    except BAD_EXIF:
        return True


def _without_bad_values(block: Image.Exif) -> dict[int, Any]:
    """Take values that can't be written out of a block; return those of the directory of EXIF itself."""
    for tag, value in list(block.items()):
        if tag not in (EXIF_IFD, _GPS_IFD) and not writable_values({tag: value}):
            del block[tag]
    if _GPS_IFD in block:
        block[_GPS_IFD] = writable_values(block.get_ifd(_GPS_IFD), _GPS_IFD)
    return writable_values(block.get_ifd(EXIF_IFD), EXIF_IFD)


def writable_values(values: Mapping[int, Any], group: int | None = None) -> dict[int, Any]:
    """Return those values of a directory of EXIF that can be written anew: some are of types that their tags have not.

    Args:
        values: By tag.
        group: The directory's own tag; None for the first one.
    """

    def can_be_written(tag: int, value: Any) -> bool:
        directory = TiffImagePlugin.ImageFileDirectory_v2(group=group)
        try:
            directory[tag] = value
            directory.tobytes(8)
        except BAD_EXIF:
            return False
        return True

    return {tag: value for tag, value in values.items() if can_be_written(tag, value)}


def exif_for_photo(metadata: Metadata) -> bytes | None:
    """The EXIF block for formats without text chunks: the WebUI's parameters go into the user comment."""
    text = metadata.text.get(PARAMETERS)
    if text is None or (metadata.exif is not None and parameters_in_exif(metadata.exif) == text):
        return metadata.exif
    return add_exif_comment(metadata.exif, text)


def without_large_parts(exif: bytes, most: int) -> bytes | None:
    """An EXIF block without values of over `most` bytes and without its thumbnail; None if it is damaged."""
    try:
        block, kept = Image.Exif(), Image.Exif()
        block.load(EXIF_PREFIX + exif)
        for tag, value in block.items():
            if tag not in (EXIF_IFD, _GPS_IFD) and not _is_larger(value, most):
                kept[tag] = value
        for tag in (EXIF_IFD, _GPS_IFD):
            inner = {key: value for key, value in block.get_ifd(tag).items() if not _is_larger(value, most)}
            if inner:
                kept[tag] = inner
        return bytes(kept.tobytes()).removeprefix(EXIF_PREFIX)
    except BAD_EXIF:
        return None


def without_xmp_padding(xmp: bytes) -> bytes:
    """An XMP packet without the kilobytes of spaces that programs leave for editing it in place."""
    return re.sub(rb"\s+(?=<\?xpacket end=)", b"\n", xmp)


def _is_larger(value: object, most: int) -> bool:
    return isinstance(value, (bytes, str, tuple)) and len(value) > most


def _user_comment(comment: object) -> str | None:
    if isinstance(comment, str):
        return comment
    if not isinstance(comment, bytes):
        return None
    code, body = comment[:8], comment[8:]
    if code == b"UNICODE\x00":
        # The order of bytes is nowhere defined. In text of this kind nearly every high byte is zero.
        order = "utf-16-be" if body[0:2000:2].count(0) >= body[1:2000:2].count(0) else "utf-16-le"
        return body.decode(order, "replace")
    if code in (b"ASCII\x00\x00\x00", bytes(8)):
        return body.rstrip(b"\x00").decode("utf-8", "replace")
    return None


def _orientation_place(exif: bytes) -> tuple[str, int] | None:
    """The orientation's value in a TIFF block's first directory: how it is packed, for `struct`, and its offset."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return None
    (entries,) = struct.unpack_from(f"{order}H", exif, start)
    for at in range(start + 2, min(start + 2 + 12 * entries, len(exif) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, at)
        if tag == EXIF_ORIENTATION and kind in _INTEGERS:
            return order + _INTEGERS[kind], at + 8
    return None
