"""Animations: every frame, its time, and how often they play."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from lib_upscale.errors import FormatLimitError, OutputError, PictureError, PictureTooLargeError
from lib_upscale.image.geometry import Size
from lib_upscale.image.io import Frame, read_frames, read_picture, write_animation, write_picture
from lib_upscale.image.metadata import Metadata
from lib_upscale.image.picture import Picture
from tests.image.strategies import noise, same_pixels


def moving(count, *, alpha=False, bits=8, channels=3, colors=None, size=(12, 15)):
    """Frames in which a square moves over a picture, with durations of 40, 50, ... milliseconds."""
    base = noise((*size, channels), bits, 1)
    if colors is not None:
        base = noise((8, channels), bits, 2)[base[..., 0] % colors]
    frames = []
    for number in range(count):
        pixels = base.copy()
        pixels[number : number + 3, 2:5] = base[0, 0] ^ 1
        opacity = np.full(size, 2**bits - 1, base.dtype)
        opacity[number : number + 2, 6:9] = 0
        frames.append(Frame(Picture(pixels, opacity if alpha else None), 40 + 10 * number))
    return frames


def shown(picture):
    """What a person sees: colors only where something is visible."""
    if picture.alpha is None:
        return picture.pixels, np.full(picture.pixels.shape[:2], picture.levels)
    return picture.pixels * (picture.alpha > 0)[..., None], picture.alpha


def same_to_the_eye(one, other):
    (color, opacity), (other_color, other_opacity) = shown(one), shown(other)
    return np.array_equal(opacity, other_opacity) and np.array_equal(color, other_color)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("plays", [0, 1, 3])
def test_frames_times_and_repetitions_survive(suffix, alpha, plays, tmp_path):
    frames = moving(6, alpha=alpha, colors=8)
    path = tmp_path / f"a{suffix}"
    write_animation(iter(frames), path, plays=plays, lossless=suffix == ".webp")
    found = read_frames(path)
    assert (found.size, found.count, found.plays) == (Size(15, 12), 6, plays)
    for _ in range(2):  # they can be read again
        again = list(found.frames())
        assert [frame.duration for frame in again] == [frame.duration for frame in frames]
        for before, after in zip(frames, again, strict=True):
            assert same_to_the_eye(before.picture, after.picture)
    assert same_to_the_eye(read_picture(path), frames[0].picture)
    assert list(tmp_path.iterdir()) == [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    count=st.integers(2, 5),
    alpha=st.booleans(),
    bits=st.just(8),
    channels=st.sampled_from((1, 3)),
    size=st.tuples(st.integers(9, 30), st.integers(9, 30)),
)
def test_apng_is_exact(count, alpha, bits, channels, size, tmp_path):
    frames = moving(count, alpha=alpha, bits=bits, channels=channels, size=size)
    write_animation(frames, tmp_path / "a.png")
    found = read_frames(tmp_path / "a.png")
    for before, after in zip(frames, found.frames(), strict=True):
        assert np.array_equal(before.picture.pixels, after.picture.pixels[..., :channels])
        assert before.picture.alpha is None or np.array_equal(before.picture.alpha, after.picture.alpha)


def test_apng_in_sixteen_bits_is_seen_by_all(tmp_path):
    frames = moving(3, bits=16)
    write_animation(frames, tmp_path / "a.png")
    assert same_pixels(read_picture(tmp_path / "a.png"), frames[0].picture)
    assert [frame.picture.bits for frame in read_frames(tmp_path / "a.png").frames()] == [8, 8, 8]


def test_what_pillow_writes_is_read(tmp_path):
    images = [Image.fromarray(noise((9, 9, 3), 8, seed)) for seed in range(3)]
    for suffix in (".webp", ".png"):
        path = tmp_path / f"a{suffix}"
        images[0].save(path, save_all=True, append_images=images[1:], duration=[70, 80, 90], loop=2, lossless=True)
        found = read_frames(path)
        assert (found.count, found.plays) == (3, 2)
        for image, frame in zip(images, found.frames(), strict=True):
            assert (frame.picture.pixels == np.array(image)).all()


def test_a_png_whose_still_picture_is_no_frame(tmp_path):
    images = [Image.fromarray(noise((9, 9, 3), 8, seed)) for seed in range(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True)
    found = read_frames(tmp_path / "a.png")
    assert found.count == 2
    assert (next(found.frames()).picture.pixels == np.array(images[1])).all()
    assert (read_picture(tmp_path / "a.png").pixels == np.array(images[0])).all()


def test_frames_that_repeat_keep_their_time(tmp_path):
    picture = Picture(noise((5, 5, 3), 8, 1) // 128 * 255)
    other = Picture(255 - picture.pixels)
    frames = [Frame(picture, 100), Frame(picture, 200), Frame(other, 300), Frame(picture, 50)]
    for suffix in (".gif", ".webp", ".png"):
        write_animation(frames, tmp_path / f"a{suffix}", lossless=suffix == ".webp")
        found = list(read_frames(tmp_path / f"a{suffix}").frames())
        assert sum(frame.duration for frame in found) == 650
        assert same_to_the_eye(found[-1].picture, picture)
        assert same_to_the_eye(found[-2].picture, other)


def test_odd_times_add_up_in_a_gif(tmp_path):
    frames = [Frame(Picture(noise((5, 5, 3), 8, seed)), 1000 / 30) for seed in range(30)]
    write_animation(frames, tmp_path / "a.gif")
    assert sum(frame.duration for frame in read_frames(tmp_path / "a.gif").frames()) == pytest.approx(1000, abs=10)


def test_metadata_goes_with_it(tmp_path):
    frames = moving(3)
    first = frames[0].picture.with_metadata(Metadata(text={"parameters": "Steps: 1"}, xmp=b"<x/>"))
    write_animation([Frame(first, 40), *frames[1:]], tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").metadata.text["parameters"] == "Steps: 1"
    found = next(read_frames(tmp_path / "a.png").frames()).picture.metadata
    assert (found.text["parameters"], found.xmp) == ("Steps: 1", b"<x/>")
    write_animation([Frame(first, 40), *frames[1:]], tmp_path / "a.webp")
    assert read_picture(tmp_path / "a.webp").metadata.text["parameters"] == "Steps: 1"


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".jpg", ".tif"])
def test_a_single_picture_is_no_animation(suffix, tmp_path):
    write_picture(Picture(noise((5, 5, 3), 8, 1)), tmp_path / f"a{suffix}")
    assert read_frames(tmp_path / f"a{suffix}") is None


def test_gif_keeps_few_colors_and_a_hole(tmp_path):
    picture = moving(1, alpha=True, colors=8)[0].picture
    write_picture(picture, tmp_path / "a.gif")
    assert same_to_the_eye(read_picture(tmp_path / "a.gif"), picture)
    everything = Picture(noise((8, 8, 3), 8, 1), np.zeros((8, 8), np.uint8))
    write_picture(everything, tmp_path / "b.gif")
    assert not read_picture(tmp_path / "b.gif").alpha.any()


def test_many_colors_come_close_in_a_gif(tmp_path):
    y, x = np.mgrid[:64, :64] * 4
    picture = Picture(np.stack([y, x, (x + y) // 2], axis=2).astype(np.uint8))
    write_picture(picture, tmp_path / "a.gif")
    found = read_picture(tmp_path / "a.gif")
    assert np.abs(found.pixels.astype(int) - picture.pixels).mean() < 8


def test_a_format_without_animation_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"\.gif"):
        write_animation(moving(2), tmp_path / "a.jpg")
    wide = Picture(np.zeros((1, 16384, 1), np.uint8))
    with pytest.raises(FormatLimitError):
        write_animation([Frame(wide, 1), Frame(wide, 1)], tmp_path / "a.webp")


def test_frames_of_different_sizes_leave_nothing_behind(tmp_path):
    frames = [Frame(Picture(noise((5, side, 3), 8, 1)), 40) for side in (5, 6)]
    for suffix in (".gif", ".webp", ".png"):
        with pytest.raises(ValueError, match="6x5"):
            write_animation(frames, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_damage_is_an_error(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / f"a{suffix}"
    write_animation(moving(4), path, lossless=suffix == ".webp")
    with pytest.raises(PictureTooLargeError):
        read_frames(path, limit_pixels=10)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(PictureError):
        list(read_frames(path).frames())


def test_gif_frames_that_build_on_each_other_come_whole(tmp_path):
    first = Image.new("P", (6, 6), 0)
    first.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 0])
    second = first.copy()
    second.paste(1, (2, 2, 4, 4))
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=[second], duration=50, disposal=1)
    (tmp_path / "a.gif").write_bytes(stream.getvalue())
    frames = list(read_frames(tmp_path / "a.gif").frames())
    assert frames[1].picture.pixels[0, 0].tolist() == [10, 20, 30]
    assert frames[1].picture.pixels[2, 2].tolist() == [200, 100, 50]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("suffix", [".avif", ".webp", ".png", ".gif"])
def test_an_animated_avif_keeps_frames_and_times(suffix, tmp_path):
    colors, times = [(200, 30, 30), (30, 200, 30), (30, 30, 200)], [50, 100, 200]
    images = [Image.new("RGB", (32, 24), color) for color in colors]
    images[0].save(tmp_path / "a.avif", save_all=True, append_images=images[1:], duration=times)
    source = read_frames(tmp_path / "a.avif")
    assert (source.count, source.size) == (3, Size(32, 24))
    write_animation(source.frames(), tmp_path / f"b{suffix}", plays=source.plays)
    with Image.open(tmp_path / f"b{suffix}") as found:
        assert found.n_frames == 3
        for number, color in enumerate(colors):
            found.seek(number)
            assert np.abs(np.asarray(found.convert("RGB"), int) - color).max() < 16
            assert found.info["duration"] == times[number]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_that_lies_on_its_side_is_turned(suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    images = [Image.new("RGB", (12, 8), (level, 0, 0)) for level in (0, 255)]
    images[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=images[1:], duration=50, exif=exif.tobytes())
    source = read_frames(tmp_path / f"a{suffix}")
    assert source.size == Size(8, 12)
    assert [frame.picture.size for frame in source.frames()] == [Size(8, 12)] * 2


def test_a_frame_larger_than_the_image_is_damage():
    """Found by mutating files: a frame of 257 pixels in an image of 12."""
    animation = read_frames(Path(__file__).parent / "files/gif-with-larger-frame.gif")
    with pytest.raises(PictureError, match="larger than the image"):
        list(animation.frames())


def test_an_animated_gif_keeps_its_comment(tmp_path):
    images = [Image.new("L", (8, 8), level) for level in (0, 255)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=50, comment=b"made by hand")
    source = read_frames(tmp_path / "a.gif")
    write_animation(source.frames(), tmp_path / "b.gif", plays=source.plays)
    with Image.open(tmp_path / "b.gif") as found:
        assert found.info["comment"] == b"made by hand"
    write_animation(source.frames(), tmp_path / "b.png", plays=source.plays)
    with Image.open(tmp_path / "b.png") as found:
        assert found.info["Comment"] == "made by hand"


def test_a_gif_of_one_frame_without_its_last_byte_is_read_and_said(caplog, tmp_path):
    write_picture(moving(1, colors=4)[0].picture, tmp_path / "a.gif")
    (tmp_path / "b.gif").write_bytes((tmp_path / "a.gif").read_bytes()[:-1])
    assert read_frames(tmp_path / "b.gif") is None
    assert same_pixels(read_picture(tmp_path / "b.gif"), read_picture(tmp_path / "a.gif"))
    assert caplog.text.count("lacks its end") == 1
    assert "b.gif: lacks its end" in caplog.text
