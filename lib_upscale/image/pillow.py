"""Converts Pillow's many modes to gray or RGB, with or without alpha, in 8 or 16 bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lib_upscale.image.metadata import (
    COMMENT,
    XMP_PREFIX,
    Metadata,
    print_resolution,
    reset_orientation,
    strip_exif_prefix,
)

__all__ = ["Pixels", "extract_metadata", "extract_pixels", "float_levels"]

Pixels = NDArray[Any]

_NO_TEXT = frozenset(("XML:com.adobe.xmp", "compression", "xmp", "exif", "icc_profile", "icc_profile_type"))
"""Keys of `Image.info` whose value may be a str without being a text of the picture."""

_COMMENTED = ("JPEG", "MPO", "GIF")
_PLAIN = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}
_WITHOUT_LOSS = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}


def extract_pixels(image: Image.Image) -> tuple[Pixels, Pixels | None, bool]:
    """Extract the pixels of a Pillow image of any mode.

    Palettes become RGB, black and white becomes gray, both keep their transparency. "I" is taken as 16 bits; for
    "F" see `float_levels`; CMYK and LAB go through their ICC profile to sRGB.

    Returns:
        Pixels (height, width, 1 or 3), alpha (height, width) or None, and whether the ICC profile still holds.
    """
    if image.mode.startswith("I;16"):
        order = ">u2" if image.mode.endswith("B") else "<u2"
        gray = np.frombuffer(image.tobytes(), order).reshape(image.height, image.width)
        return _with_color_key(gray.astype(np.uint16)[..., None], image, True)
    if image.mode == "I":
        return _with_color_key(np.clip(np.asarray(image), 0, 65535).astype(np.uint16)[..., None], image, True)
    if image.mode == "F":
        return float_levels(np.asarray(image))[..., None], None, True
    if image.mode in ("CMYK", "LAB"):
        return np.array(_to_srgb(image)), None, False
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif "transparency" in image.info and image.mode in ("1", "L", "RGB"):
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    mode = _PLAIN.get(image.mode) or _WITHOUT_LOSS.get(image.mode, "RGB")
    image = image if image.mode == mode else image.convert(mode)
    return (*_split(np.array(image)), True)


def extract_metadata(image: Image.Image, *, icc_holds: bool = True) -> Metadata:
    """Extract what Pillow found beside the pixels. The EXIF orientation is left as it is in the file, if it holds."""
    info = image.info
    exif = info.get("exif")
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or _xmp_in_jpeg(image)
    text = {k: str(v) for k, v in info.items() if isinstance(k, str) and isinstance(v, str) and k not in _NO_TEXT}
    if image.format in _COMMENTED and (comment := _comment(info.get("comment"))):
        text = {COMMENT: comment}
    dpi = info.get("dpi")
    metadata = Metadata(
        icc=info.get("icc_profile") or None if icc_holds else None,
        exif=bytes(exif) if isinstance(exif, bytes) and exif else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        text=text,
        dpi=print_resolution(float(dpi[0]), float(dpi[1])) if isinstance(dpi, tuple) and len(dpi) == 2 else None,
    )
    # JPEG XL says in the image itself how it lies, which its decoder applies; what EXIF says is to be ignored.
    return reset_orientation(strip_exif_prefix(metadata)) if image.format == "JXL" else metadata


def _comment(comment: object) -> str:
    """The comment of a JPEG or GIF: bytes in an encoding that nothing says, up to a zero byte that C programs add."""
    raw = bytes(comment).rstrip(b"\0") if isinstance(comment, (bytes, bytearray)) else b""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _xmp_in_jpeg(image: Image.Image) -> bytes | None:
    """Where Pillow before 11 leaves it."""
    for segment, body in getattr(image, "applist", ()):
        if segment == "APP1" and body.startswith(XMP_PREFIX):
            return bytes(body[len(XMP_PREFIX) :])
    return None


def float_levels(values: Pixels) -> Pixels:
    """Convert floats to uint16, clipped.

    They are taken as 0..1, where highlights may reach above 1; if their mean is above 1, as 0..255 or, if any is above
    that, as 0..65535.
    """
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
    finite = np.clip(values[values < np.inf], 0, None)
    if not finite.size or float(finite.mean(dtype=np.float64)) <= 1:
        top = 1.0
    else:
        top = 255.0 if float(finite.max()) <= 255 else 65535.0
    levels: Pixels = np.rint(np.clip(values / np.float32(top), 0, 1) * 65535).astype(np.uint16)
    return levels


def _split(array: Pixels) -> tuple[Pixels, Pixels | None]:
    if array.ndim == 2:
        return array[..., None], None
    if array.shape[2] in (2, 4):
        return np.ascontiguousarray(array[..., :-1]), np.ascontiguousarray(array[..., -1])
    return array, None


def _with_color_key(pixels: Pixels, image: Image.Image, icc_holds: bool) -> tuple[Pixels, Pixels | None, bool]:
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return pixels, None, icc_holds
    return pixels, np.where(pixels[..., 0] == key, 0, 65535).astype(np.uint16), icc_holds


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    try:
        if image.mode == "LAB":
            source: Any = ImageCms.createProfile("LAB")
        elif profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A damaged profile, or one of another color space, is no reason to refuse the image.
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")
