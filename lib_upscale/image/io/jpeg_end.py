"""Reads a JPEG that lacks its last marker, if all of its pixels are there.

Only a decoder knows where the pixels end. So it is given several files that go on differently: where something is
missing each becomes another image, and where nothing is, all become the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

__all__ = ["complete_jpeg", "lacks_end"]

_END = b"\xff\xd9"
_FIRST_BYTES = (b"\x00", b"\xfe", b"\x55", b"\xaa")
"""Which bits may come next: all the same, or in turns. No code of an image is the same in all of them."""
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_RESTARTS = tuple(range(0xD0, 0xD8))
_COEFFICIENTS = 64
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended, progressive: what Pillow decodes."""
_WITHOUT_LENGTH = (0x01, *_RESTARTS, 0xD8)


def lacks_end(stream: BinaryIO) -> bool:
    """Whether a JPEG has no last marker; whatever may follow that."""
    stream.seek(-2, io.SEEK_END)
    if stream.read(2) == _END:
        return False
    stream.seek(0)
    return all(marker != _END_OF_IMAGE for marker, _ in _segments(stream.read()))


def complete_jpeg(stream: BinaryIO) -> Image.Image | None:
    """Decode a JPEG without its last marker.

    Returns:
        The decoded image; None where pixels are missing, be they only the last scan of a progressive image.
    """
    stream.seek(0)
    content = stream.read().removesuffix(b"\xff")
    if content.endswith(_END) or not _has_all_scans(content):
        return None
    first: Image.Image | None = None
    for number, bits in enumerate((*_FIRST_BYTES, _next_restart(content))):
        image = _decode(content + bits + _filler(number) + _END)
        if image is None or (first is not None and image.tobytes() != first.tobytes()):
            return None
        first = first or image
    return first


def _next_restart(content: bytes) -> bytes:
    """The restart marker that would follow: after one, nothing but another one is taken for pixels."""
    last = max(range(8), key=lambda number: content.rfind(bytes([0xFF, _RESTARTS[number]])))
    found = content.find(bytes([0xFF, _RESTARTS[last]]), content.rfind(bytes([0xFF, _START_OF_SCAN]))) >= 0
    return bytes([0xFF, _RESTARTS[(last + 1) % 8 if found else 0]])


def _filler(number: int) -> bytes:
    """Bytes like those of an image, other ones for each number, and without 0xFF, which opens a marker."""
    return bytes((at * 7919 + number * 104729) % 251 for at in range(64))


def _decode(content: bytes) -> Image.Image | None:
    try:
        image = Image.open(io.BytesIO(content), formats=["JPEG"])
        image.load()
    except Exception:  # decoders raise whatever their parsing runs into
        return None
    return image


def _has_all_scans(content: bytes) -> bool:
    """Whether every coefficient of every component comes to its last bit in some scan (ITU-T T.81, B.2.3 and G.1.1)."""
    missing: dict[int, set[int]] = {}
    for marker, body in _segments(content):
        if marker in _FRAMES and len(body) >= 6 + 3 * body[5]:
            missing = {body[6 + 3 * number]: set(range(_COEFFICIENTS)) for number in range(body[5])}
        elif marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] :][:3]
            if bits & 15 == 0:
                for number in range(body[0]):
                    missing.get(body[1 + 2 * number], set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment; what lies between them are the pixels."""
    at = content.find(b"\xff")
    while 0 <= at < len(content) - 1:
        marker = content[at + 1]
        if marker in (0x00, 0xFF) or marker in _WITHOUT_LENGTH:  # pixels, padding, restarts
            at = content.find(b"\xff", at + (1 if marker == 0xFF else 2))
            continue
        if marker == _END_OF_IMAGE:
            yield marker, b""
            return
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if at + 2 + length > len(content):
            return
        yield marker, content[at + 4 : at + 2 + length]
        at = content.find(b"\xff", at + 2 + length)
