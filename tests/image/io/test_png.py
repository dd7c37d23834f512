"""PNG: every depth and layout, read and written without loss; damage is noticed."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from lib_upscale.image.geometry import Size
from lib_upscale.image.io import read_picture, write_picture
from lib_upscale.image.io.png.chunks import SIGNATURE, Header, PngError, chunk, chunks
from lib_upscale.image.io.png.reader import read_png
from lib_upscale.image.io.png.writer import write_png
from lib_upscale.image.metadata import Metadata
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise, pictures, same_pixels


def written(picture, rows=256, metadata=None):
    stream = io.BytesIO()
    channels = picture.channels + (picture.alpha is not None)
    bands = picture.bands(rows)
    write_png(stream, picture.size, bands, metadata or Metadata(), bits=picture.bits, channels=channels)
    return stream.getvalue()


def read(body):
    return Picture(*read_png(io.BytesIO(body)))


def hand_made(header, rows, *, filters=None, extra=b""):
    """A PNG from raw rows, unfiltered unless said, as another program would write it."""
    raw = b"".join(bytes([0]) + row for row in rows) if filters is None else filters
    body = chunk(b"IHDR", header.packed()) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return SIGNATURE + body


@given(pictures(), st.integers(1, 50))
def test_written_and_read_again_it_is_the_same(picture, rows):
    assert same_pixels(read(written(picture, rows)), picture)


@given(pictures(bits=st.just(8)))
def test_pillow_reads_the_same(picture):
    image = Image.open(io.BytesIO(written(picture)))
    assert same_pixels(Picture.from_pil(image), picture)


@given(pictures(bits=st.just(8)))
def test_what_pillow_writes_is_read(picture):
    stream = io.BytesIO()
    picture.to_pil().save(stream, "PNG")
    assert same_pixels(read(stream.getvalue()), picture)


def test_many_blocks_on_many_threads_are_joined_in_order():
    picture = Picture(noise((700, 1500, 3), 16, 7))
    assert same_pixels(read(written(picture, 123)), picture)


def test_a_smooth_picture_is_stored_in_far_fewer_bytes_than_pixels():
    ramp = np.add.outer(np.arange(300), np.arange(400)).astype(np.uint8)[..., None].repeat(3, 2)
    assert len(written(Picture(ramp))) < ramp.size / 50


def test_bands_that_are_another_picture_are_refused():
    for bands in ([np.zeros((3, 4, 3), np.uint8)], [np.zeros((5, 4, 3), np.uint8)], [np.zeros((4, 4, 1), np.uint8)]):
        with pytest.raises(ValueError, match="band"):
            write_png(io.BytesIO(), Size(4, 4), bands, Metadata(), bits=8, channels=3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_small_depths_palettes_and_their_transparency(bits):
    width, height = 11, 3
    values = noise((height, width), 8, bits) >> (8 - bits)
    flat = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(height, -1)
    rows = [np.packbits(row).tobytes() for row in flat]
    size = Size(width, height)
    gray = read(hand_made(Header(size, bits, 0, False), rows))
    assert (gray.pixels[..., 0] == values.astype(int) * (255 // (2**bits - 1))).all()
    key = chunk(b"tRNS", struct.pack(">H", 1))
    assert ((read(hand_made(Header(size, bits, 0, False), rows, extra=key)).alpha == 0) == (values == 1)).all()
    palette = noise((2**bits, 3), 8, 3)
    table = chunk(b"PLTE", palette.tobytes())
    assert (read(hand_made(Header(size, bits, 3, False), rows, extra=table)).pixels == palette[values]).all()
    shown = read(hand_made(Header(size, bits, 3, False), rows, extra=table + chunk(b"tRNS", b"\x07")))
    assert (shown.alpha == np.where(values == 0, 7, 255)).all()


def test_a_color_key_in_sixteen_bits():
    pixels = np.array([[[1, 2, 3], [1, 2, 4]]], ">u2")
    key = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    found = read(hand_made(Header(Size(2, 1), 16, 2, False), [pixels.tobytes()], extra=key))
    assert found.alpha.tolist() == [[0, 65535]]
    assert found.pixels.tolist() == pixels.tolist()


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_interlaced(color, channels, bits):
    values = noise((13, 10, channels), bits, 5)
    raw = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = values[y::dy, x::dx]
        if part.size:
            raw += b"".join(b"\x00" + row.astype(f">u{bits // 8}").tobytes() for row in part)
    found = read(hand_made(Header(Size(10, 13), bits, color, True), [], filters=raw))
    stack = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    assert (stack == values).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from((8, 16)))
def test_every_filter_is_undone(seed, bits):
    """Rows filtered by the definition, byte by byte, each with another filter."""
    raw = (
        np.frombuffer(noise((6, 5, 3), bits, seed).astype(f">u{bits // 8}").tobytes(), np.uint8)
        .reshape(6, -1)
        .astype(int)
    )
    step, body = 3 * bits // 8, b""
    for y, row in enumerate(raw):
        kind = (seed + y) % 5
        body += bytes([kind])
        for x, value in enumerate(row):
            left = row[x - step] if x >= step else 0
            up = raw[y - 1][x] if y else 0
            corner = raw[y - 1][x - step] if y and x >= step else 0
            nearest = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
            body += bytes([(value - (0, left, up, (left + up) // 2, nearest)[kind]) % 256])
    found = read(hand_made(Header(Size(5, 6), bits, 2, False), [], filters=body))
    assert found.pixels.astype(f">u{bits // 8}").tobytes() == raw.astype(np.uint8).tobytes()


@pytest.mark.parametrize("bits", [8, 16])
def test_broken_off_anywhere_it_is_an_error(bits, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as a host may have set it
    body = written(Picture(noise((20, 20, 3), bits, 1)))
    for length in (*range(0, len(body) - 1, 37), len(body) - 1):
        with pytest.raises(PngError):
            read(body[:length])


def test_flipped_bits_are_an_error_or_change_nothing():
    picture = Picture(noise((9, 9, 3), 16, 1))
    body = written(picture, metadata=Metadata(text={"Title": "x"}))
    for at in range(0, len(body), 5):
        damaged = body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]
        try:
            found = read(damaged)
        except PngError:
            continue
        assert same_pixels(found, picture)


def test_fewer_rows_than_promised_are_an_error():
    with pytest.raises(PngError, match="breaks off"):
        read(hand_made(Header(Size(4, 9), 8, 0, False), [b"1234"] * 8))
    with pytest.raises(PngError, match="breaks off"):
        read(hand_made(Header(Size(9, 9), 8, 0, True), [], filters=b"\x00\x01\x02"))
    assert not read(hand_made(Header(Size(4, 9), 8, 0, False), [bytes(4)] * 9)).pixels.any()


def test_a_text_that_unfolds_without_end_is_left_out():
    bomb = zlib.compress(bytes(80 * 2**20))
    extra = chunk(b"zTXt", b"Comment\x00\x00" + bomb) + chunk(b"tEXt", b"Title\x00t")
    _, _, metadata = read_png(io.BytesIO(hand_made(Header(Size(1, 1), 8, 0, False), [b"\x00"], extra=extra)))
    assert dict(metadata.text) == {"Title": "t"}


def test_every_kind_of_text_is_read():
    extra = (
        chunk(b"tEXt", b"Plain\x00caf\xe9")
        + chunk(b"zTXt", b"Packed\x00\x00" + zlib.compress(b"caf\xe9"))
        + chunk(b"iTXt", b"World\x00\x00\x00en\x00Welt\x00" + "犬".encode())
        + chunk(b"iTXt", b"Both\x00\x01\x00\x00\x00" + zlib.compress("犬犬".encode()))
    )
    _, _, metadata = read_png(io.BytesIO(hand_made(Header(Size(1, 1), 8, 0, False), [b"\x00"], extra=extra)))
    assert dict(metadata.text) == {"Plain": "café", "Packed": "café", "World": "犬", "Both": "犬犬"}


@given(st.dictionaries(st.text("abc XYZ", min_size=1, max_size=20).map(str.strip).filter(bool), st.text(max_size=60)))
def test_texts_survive(texts):
    texts = {key: value.replace("\x00", "").encode("utf-8", "ignore").decode() for key, value in texts.items()}
    _, _, metadata = read_png(
        io.BytesIO(written(Picture(np.zeros((1, 1, 1), np.uint8)), metadata=Metadata(text=texts)))
    )
    assert dict(metadata.text) == texts


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_chunks_that_say_what_the_values_mean_are_copied(bits, channels, tmp_path):
    """Wide-gamut and HDR images: without these they are shown as sRGB."""
    color = {"cICP": b"\x0c\x10\x00\x01", "gAMA": struct.pack(">I", 100000), "cHRM": bytes(range(32))}
    color |= {"sRGB": b"\x00", "mDCV": bytes(24), "cLLI": bytes(8)}
    plain = Picture(noise((8, 9, channels), bits, 1))
    write_picture(plain, tmp_path / "plain.png")
    content = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "a.png").write_bytes(
        content[:33] + b"".join(chunk(kind.encode(), body) for kind, body in color.items()) + content[33:]
    )
    found = read_picture(tmp_path / "a.png")
    assert same_pixels(found, plain)
    write_picture(found, tmp_path / "b.png")
    with (tmp_path / "b.png").open("rb") as stream:
        kinds = dict(chunks(stream))
    assert {kind: kinds[kind.encode()] for kind in color} == color
    assert list(kinds).index(b"cICP") < list(kinds).index(b"IDAT")
