"""Reads PBM, PGM, PPM and PAM at their full depth. Pillow has 8 bits for their colors, and no PAM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lib_upscale.errors import UpscalePlusError
from lib_upscale.image.geometry import Size
from lib_upscale.image.levels import row_bands
from lib_upscale.spread import ceil_div

__all__ = ["NetpbmError", "NetpbmHeader", "is_netpbm", "read_netpbm", "read_netpbm_header"]

Pixels = NDArray[Any]

_MOST_HEADER = 2**16
"""Bytes in which a header has to end; comments may make it long."""
_TOKEN = re.compile(rb"(?:\s|#[^\n]*(?:\n|$))*([0-9]+)")
_COMMENT = re.compile(rb"#[^\n]*")
_CHANNELS = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3}
_BITMAPS = (b"P1", b"P4")
_PLAIN = (b"P1", b"P2", b"P3")
_PAM = b"P7"
_PAM_KINDS = {b"BLACKANDWHITE": 1, b"GRAYSCALE": 1, b"RGB": 3}


class NetpbmError(UpscalePlusError):
    """Raised when such a file breaks off or contradicts itself. The problem is without the file's name."""


@dataclass(frozen=True)
class NetpbmHeader:
    """What stands before the pixels.

    Attributes:
        magic: b"P1" to b"P7".
        size: Of the image.
        channels: 1 to 4, alpha counted.
        maximum: The value of full brightness, 1 to 65535.
        length: Of the header in bytes.
    """

    magic: bytes
    size: Size
    channels: int
    maximum: int
    length: int


def is_netpbm(start: bytes) -> bool:
    """Whether a file's first bytes are those of PBM, PGM, PPM or PAM."""
    return (start[:2] in _CHANNELS and (start[2:3].isspace() or start[2:3] == b"#")) or start[:3] == _PAM + b"\n"


def read_netpbm_header(stream: BinaryIO) -> NetpbmHeader:
    """Read the header from the start of a file.

    Raises:
        NetpbmError: It is damaged or of a kind that is not supported.
    """
    stream.seek(0)
    head = stream.read(_MOST_HEADER)
    header = _pam_header(head) if head.startswith(_PAM) else _pnm_header(head)
    if min(header.size) < 1 or not 1 <= header.maximum <= 65535:
        raise NetpbmError("its header is damaged")
    return header


def read_netpbm(stream: BinaryIO) -> tuple[Pixels, Pixels | None]:
    """Read the first image of a file; its values are scaled so that its maximum is full brightness.

    Returns:
        Pixels (height, width, 1 or 3), uint8 up to a maximum of 255, else uint16, and alpha (height, width) or None.

    Raises:
        NetpbmError: The file is damaged, breaks off, or is of a kind that is not supported.
    """
    header = read_netpbm_header(stream)
    stream.seek(header.length)
    values = _read_plain(stream, header) if header.magic in _PLAIN else _read_binary(stream, header)
    if header.magic in _BITMAPS:
        values = 1 - values  # 1 is black
    levels = _scale(values, header.maximum)
    if header.channels in (2, 4):
        return np.ascontiguousarray(levels[..., :-1]), np.ascontiguousarray(levels[..., -1])
    return levels, None


def _pnm_header(head: bytes) -> NetpbmHeader:
    magic, at, numbers = head[:2], 2, []
    for _ in range(2 if magic in _BITMAPS else 3):
        found = _TOKEN.match(head, at)
        if found is None:
            raise NetpbmError("its header is damaged")
        at = found.end()
        numbers.append(int(found[1]))
    maximum = 1 if magic in _BITMAPS else numbers[2]
    return NetpbmHeader(magic, Size(numbers[0], numbers[1]), _CHANNELS[magic], maximum, at + 1)


def _pam_header(head: bytes) -> NetpbmHeader:
    found: dict[bytes, bytes] = {}
    at = len(_PAM)
    for line in head[at:].splitlines(keepends=True):
        at += len(line)
        key, _, value = line.strip().partition(b" ")
        if key == b"ENDHDR":
            break
        found.setdefault(key, value.strip())
    else:
        raise NetpbmError("its header is damaged")
    try:
        width, height, channels, maximum = (int(found[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError) as error:
        raise NetpbmError("its header is damaged") from error
    kind = found.get(b"TUPLTYPE", b"").removesuffix(b"_ALPHA")
    if not 1 <= channels <= 4 or (kind and _PAM_KINDS.get(kind) != (channels - 1) // 2 * 2 + 1):
        raise NetpbmError("it has channels of a kind that is not supported")
    return NetpbmHeader(_PAM, Size(width, height), channels, maximum, at)


def _read_plain(stream: BinaryIO, header: NetpbmHeader) -> Pixels:
    body = _COMMENT.sub(b"", stream.read())
    if header.magic in _BITMAPS:  # digits may stand without spaces between them
        numbers = np.frombuffer(b"".join(body.split()), np.uint8) - ord("0")
    else:
        try:
            numbers = np.array(body.split(), np.int64)
        except (ValueError, OverflowError) as error:
            raise NetpbmError("its pixels are damaged") from error
    count = header.size.pixels * header.channels
    if len(numbers) < count:
        raise NetpbmError("it breaks off")
    if numbers[:count].min() < 0 or numbers[:count].max() > header.maximum:
        raise NetpbmError("its pixels are damaged")
    values: Pixels = numbers[:count].astype(_dtype(header)).reshape(*_shape(header))
    return values


def _read_binary(stream: BinaryIO, header: NetpbmHeader) -> Pixels:
    width, height = header.size
    if header.magic in _BITMAPS:
        packed = np.frombuffer(_take(stream, ceil_div(width, 8) * height), np.uint8).reshape(height, -1)
        return np.unpackbits(packed, axis=1, count=width)[..., None]
    dtype = _dtype(header)
    data = _take(stream, height * width * header.channels * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(*_shape(header))


def _take(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise NetpbmError("it breaks off")
    return data


def _dtype(header: NetpbmHeader) -> np.dtype[Any]:
    return np.dtype(">u2" if header.maximum > 255 else np.uint8)


def _shape(header: NetpbmHeader) -> tuple[int, int, int]:
    return header.size.height, header.size.width, header.channels


def _scale(values: Pixels, maximum: int) -> Pixels:
    top = 65535 if maximum > 255 else 255
    levels = np.empty(values.shape, np.uint16 if maximum > 255 else np.uint8)
    for rows in row_bands(len(values)):
        levels[rows] = np.minimum((values[rows].astype(np.uint32) * top + maximum // 2) // maximum, top)
    return levels
