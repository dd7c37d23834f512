"""Walks the boxes that AVIF and JPEG XL files are made of, and reads how deep an AVIF is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["LARGEST", "avif_bits", "boxes_in_file"]

LARGEST = 2**26
"""The most bytes of a box that are read, and of what is packed in it."""


def avif_bits(stream: BinaryIO) -> int:
    """The bits of a channel of an AVIF file's image; 8 where nothing is found that says more.

    Source: ISO/IEC 23008-12, 9.3 and 6.5.6 (which properties an item has, the property pixi); AV1 Codec ISO Media
    File Format Binding, 2.3.3 (the property av1C).
    """
    for kind, start, end in boxes_in_file(stream):
        if kind == b"meta" and end - start <= LARGEST:
            stream.seek(start)
            try:
                return _primary_bits(stream.read(end - start))
            except (struct.error, IndexError):  # cut short, or other than it should be
                return 8
    return 8


def _primary_bits(meta: bytes) -> int:
    """The bits of the primary item, by the body of the box `meta`."""
    inner = dict(_boxes(meta, 4))
    properties = inner.get(b"iprp", b"")
    primary = int.from_bytes(inner[b"pitm"][4:], "big") if b"pitm" in inner else 0
    boxes = list(_boxes(properties))
    kinds = list(_boxes(next((body for kind, body in boxes if kind == b"ipco"), b"")))
    own = [number for kind, body in boxes if kind == b"ipma" for number in _associations(body, primary)]
    depths = [_depth(*kinds[number - 1]) for number in own if 0 < number <= len(kinds)]
    # An image made of several in a grid may leave its depth to them.
    return max(depths, default=0) or max((_depth(*each) for each in kinds), default=0) or 8


def _depth(kind: bytes, body: bytes) -> int:
    """The bits that a property gives; 0 if it is not about them."""
    if kind == b"pixi":
        return max(body[5 : 5 + body[4]], default=0)
    if kind == b"av1C":
        return (12 if body[2] & 0x20 else 10) if body[2] & 0x40 else 8
    return 0


def _associations(ipma: bytes, item: int) -> Iterator[int]:
    """The numbers, from 1, of the properties that an item has."""
    ids, wide = (">I" if ipma[0] else ">H"), bool(ipma[3] & 1)
    (count,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(count):
        (number,) = struct.unpack_from(ids, ipma, at)
        at += struct.calcsize(ids)
        total = ipma[at]
        at += 1
        for _ in range(total):
            (entry,) = struct.unpack_from(">H" if wide else ">B", ipma, at)
            at += 1 + wide
            if number == item:
                yield entry & (0x7FFF if wide else 0x7F)


def _boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The kind and body of each box in `data`, up to one that is damaged."""
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def boxes_in_file(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each of a file's outermost boxes, and where its body begins and ends."""
    length = stream.seek(0, 2)
    at = 0
    while at + 8 <= length:
        stream.seek(at)
        head = stream.read(16)
        size, kind = struct.unpack_from(">I4s", head)
        start = at + 8
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
            start = at + 16
        end = length if size == 0 else at + size
        if not start <= end <= length:
            return
        yield kind, start, end
        at = end
