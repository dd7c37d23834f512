"""A TIFF writer that takes a picture band by band: strips of rows, Deflate compressed, the directory at the end."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lib_upscale.image.io.tiff_reader import BAD_EXIF, TiffError, shared_tags
from lib_upscale.image.metadata import Metadata, exif_for_photo
from lib_upscale.image.picture import Picture

__all__ = ["write_tiff"]

Pixels = NDArray[Any]

_STRIP = 2**20
"""Bytes of pixels in a strip."""
_CLASSIC_LIMIT = 2**32 - 2**26
"""Bytes of pixels above which offsets of 32 bits may not do."""
_FREE_TAG = 276
"""Means nothing, and sorts to the place where 273, the strips' places, is to stand."""
_BYTE, _SHORT, _LONG = 1, 3, 4


def write_tiff(stream: BinaryIO, picture: Picture) -> None:
    """Write a picture in its own depth with all its metadata but text chunks; the WebUI's parameters go into the EXIF.

    Over 4 GB of pixels it becomes a BigTIFF, which takes the package tifffile and leaves EXIF out. Raises `TiffError`
    if that is missing.
    """
    if picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes) >= _CLASSIC_LIMIT:
        _write_big(stream, picture)
        return
    stream.write(b"II*\x00" + bytes(4))
    rows = max(1, _STRIP // (picture.pixels.strides[0] or 1))
    offsets: list[int] = []
    lengths: list[int] = []
    for packed in _packed(_strips(picture, rows)):
        offsets.append(stream.tell())
        lengths.append(stream.write(packed))
    stream.write(bytes(stream.tell() % 2))
    at = stream.tell()
    stream.write(_with_strips_named(_directory(picture, rows, offsets, lengths).tobytes(at)))
    stream.seek(4)
    stream.write(struct.pack("<I", at))


def _strips(picture: Picture, rows: int) -> Iterator[Pixels]:
    for start in range(0, picture.size.height, rows):
        pixels = picture.pixels[start : start + rows]
        yield pixels if picture.alpha is None else np.dstack([pixels, picture.alpha[start : start + rows]])


def _packed(strips: Iterable[Pixels]) -> Iterator[bytes]:
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[bytes]] = deque()
        for strip in strips:
            waiting.append(pool.submit(_compressed, strip))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _compressed(strip: Pixels) -> bytes:
    """Each value less the one to its left (predictor 2 of TIFF 6.0, section 14), then Deflate."""
    difference = np.ascontiguousarray(strip, f"<u{strip.itemsize}").copy()
    difference[:, 1:] -= strip[:, :-1]
    return zlib.compress(difference.tobytes(), 6)


def _directory(
    picture: Picture, rows: int, offsets: list[int], lengths: list[int]
) -> TiffImagePlugin.ImageFileDirectory_v2:
    channels = picture.channels + (picture.alpha is not None)
    metadata = picture.metadata
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\x00\x00\x00\x00\x00")
    directory.update(_kept_exif(metadata))
    wanted: dict[int, tuple[int, Any]] = {
        256: (_LONG, picture.size.width),
        257: (_LONG, picture.size.height),
        258: (_SHORT, (picture.bits,) * channels),
        259: (_SHORT, 8),  # Deflate
        262: (_SHORT, 2 if picture.channels == 3 else 1),  # RGB, or gray with black as 0
        _FREE_TAG: (_LONG, tuple(offsets)),
        277: (_SHORT, channels),
        278: (_LONG, rows),
        279: (_LONG, tuple(lengths)),
        284: (_SHORT, 1),  # channels side by side
        317: (_SHORT, 2),  # predictor
    }
    if picture.alpha is not None:
        wanted[338] = (_SHORT, 2)  # alpha, not premultiplied
    icc = metadata.icc_for(picture.channels)
    if icc:
        wanted[34675] = (7, icc)
    if metadata.xmp:
        wanted[700] = (_BYTE, metadata.xmp)
    for tag, (kind, value) in wanted.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    if metadata.dpi:
        directory[282], directory[283] = metadata.dpi
        directory[296] = 2  # inches
    return directory


def _with_strips_named(directory: bytes) -> bytes:
    """The directory with the strips' places under their real tag.

    Pillow moves what it finds there, as it writes strips behind the directory, and before version 11 takes only one.
    """
    named = bytearray(directory)
    (entries,) = struct.unpack_from("<H", named)
    for entry in range(2, 2 + 12 * entries, 12):
        if struct.unpack_from("<H", named, entry) == (_FREE_TAG,):
            struct.pack_into("<H", named, entry, 273)
    return bytes(named)


def _kept_exif(metadata: Metadata) -> dict[int, Any]:
    """What of the EXIF block has a place in a TIFF's own directory."""
    exif = exif_for_photo(metadata)
    if exif is None:
        return {}
    try:
        block = Image.Exif()
        block.load(b"Exif\x00\x00" + exif)
        return shared_tags(block)
    except BAD_EXIF:
        return {}


def _write_big(stream: BinaryIO, picture: Picture) -> None:
    try:
        import tifffile
    except ImportError as error:
        raise TiffError("can't be written, a TIFF of over 4 GB needs a package", "pip install tifffile") from error
    metadata = picture.metadata
    data = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    tifffile.imwrite(
        stream,
        data if data.shape[2] > 1 else data[..., 0],
        photometric="rgb" if picture.channels == 3 else "minisblack",
        planarconfig="contig" if data.shape[2] > 1 else None,
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="zlib",
        rowsperstrip=max(1, _STRIP // (data.shape[1] * data.shape[2] * data.itemsize)),
        iccprofile=metadata.icc_for(picture.channels),
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        extratags=[(700, "B", len(metadata.xmp), metadata.xmp, True)] if metadata.xmp else [],
        metadata=None,
        software=False,
        bigtiff=True,
    )
