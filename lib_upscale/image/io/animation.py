"""Reads and writes animations (GIF, WebP, AVIF, APNG) frame by frame, with durations and how often they play."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from lib_upscale.atomic_file import atomic_file
from lib_upscale.errors import OutputError
from lib_upscale.image.alpha import WHITE
from lib_upscale.image.geometry import Size
from lib_upscale.image.io.encoding import metadata_options
from lib_upscale.image.io.fitting import fit_one_of, note_lost
from lib_upscale.image.io.formats import TIFF_STARTS, Format, check_writable, limits, quality_options
from lib_upscale.image.io.netpbm import is_netpbm
from lib_upscale.image.io.opening import (
    ANIMATED,
    DEFAULT_LIMIT,
    decoding,
    load,
    open_file,
    open_image,
    say_lost,
    say_missing_end,
    upright_size,
)
from lib_upscale.image.io.palette import palette_image
from lib_upscale.image.io.png.apng import ApngWriter
from lib_upscale.image.io.png.chunks import SIGNATURE
from lib_upscale.image.io.png.reader import is_animated, read_metadata
from lib_upscale.image.picture import Picture
from lib_upscale.image.pillow import extract_metadata, extract_pixels

__all__ = ["Animation", "Frame", "read_frames", "write_animation"]


@dataclass(frozen=True)
class Frame:
    """One whole image of an animation, and how long it is shown, in milliseconds."""

    picture: Picture
    duration: float


@dataclass(frozen=True)
class Animation:
    """An animation in a file.

    Attributes:
        size: Of each frame.
        count: How many frames there are.
        plays: How often it runs, 0 for ever.
        frames: Decodes anew from the start, one complete frame at a time; raises `PictureError` where the file turns
            out to be damaged.
    """

    size: Size
    count: int
    plays: int
    frames: Callable[[], Iterator[Frame]]


def read_frames(path: str | PathLike[str], *, limit_pixels: int | None = DEFAULT_LIMIT) -> Animation | None:
    """Open the animation in a file, without reading pixels yet.

    Returns:
        None if the file holds a single image.

    Raises:
        PictureError: The file is missing, damaged or not an image.
        PictureTooLargeError: A frame has more than `limit_pixels` pixels (None: no limit).
    """
    path = Path(path)
    with open_file(path) as stream:
        start = stream.read(8)
        if start.startswith(TIFF_STARTS) or is_netpbm(start):
            return None  # of which Pillow can't open all
        if start == SIGNATURE:
            stream.seek(0)
            if not is_animated(stream):
                return None
        image = open_image(path, stream, limit_pixels)
        with decoding(path), image:
            skipped = int(bool(image.info.get("default_image")))
            count = int(getattr(image, "n_frames", 1)) - skipped
            if image.format not in ANIMATED or count < 2:
                return None
            size, plays = upright_size(image), _plays(image)
        say_missing_end(path, stream)
    return Animation(size, count, plays, lambda: _frames(path, limit_pixels))


def write_animation(
    frames: Iterable[Frame],
    path: str | PathLike[str],
    *,
    plays: int = 0,
    format: Format | str | None = None,
    quality: int | None = None,
    lossless: bool = False,
    background: tuple[int, int, int] = WHITE,
) -> None:
    """Write frames of one size, atomically, as they come; those of GIF, WebP and AVIF stay in memory until the end.

    APNG keeps everything; GIF has 255 colors a frame and durations in hundredths of a second, their sum kept.

    Args:
        frames: At least one.
        path: Where to.
        plays: How often the animation runs, 0 for ever.
        format: Overrides the suffix of `path`.
        quality: 1 to 100, for WebP and AVIF.
        lossless: For WebP.
        background: Red, green, blue: what frames are laid on where the format has no alpha.

    Raises:
        FormatLimitError: The frames are too large for the format.
        OutputError: The format can't be animated or is unknown, or the system refuses.
        SettingsError: The quality is out of range, or the format can't do without loss.
        ValueError: There is no frame, or sizes differ.
    """
    path = Path(path)
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError("an animation needs a frame")
    chosen = check_writable(path, first.picture.size, first.picture.bits, first.picture.alpha is not None, format)
    if not limits(chosen).animated:
        raise OutputError(path, f"can't be written, {chosen.name} can't hold an animation", "use .gif, .webp or .png")
    options = quality_options(chosen, quality, lossless)
    lost: dict[str, None] = {}
    alike = _unify(chain((first,), remaining), first.picture.size, chosen, background, lost)
    with atomic_file(path) as stream:
        if chosen is Format.PNG:
            _write_apng(stream, alike, plays)
        elif chosen is Format.GIF:
            _write_gif(stream, alike, plays)
        else:
            _write_photos(stream, alike, plays, chosen, options)
    note_lost(path, chosen, list(lost))


def _frames(path: Path, limit: int | None) -> Iterator[Frame]:
    with open_file(path) as stream:
        metadata = None
        if stream.read(8) == SIGNATURE:
            stream.seek(0)
            with decoding(path):
                metadata = read_metadata(stream)  # Pillow reads less of it, and not the same in every version
        image = open_image(path, stream, limit)
        say_lost(path, stream, image, 8)
        skipped = int(bool(image.info.get("default_image")))
        with image:
            for number in range(skipped, int(getattr(image, "n_frames", 1))):
                with decoding(path):
                    load(image, number)
                    duration = float(image.info.get("duration", 0) or 0)
                    rgb = image.convert("RGBA" if _may_be_transparent(image) else "RGB")
                    rgb.info.pop("transparency", None)
                    pixels, alpha, icc_holds = extract_pixels(rgb)
                    found = metadata or extract_metadata(image, icc_holds=icc_holds)
                    picture = Picture.oriented(pixels, alpha, found)
                yield Frame(picture, duration)


def _may_be_transparent(image: Image.Image) -> bool:
    # In a GIF any frame may be, whatever the first one is; all frames are to have the same channels.
    return image.format == "GIF" or image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _plays(image: Image.Image) -> int:
    loop = image.info.get("loop")
    if image.format == "GIF":
        # Without the loop extension a GIF plays once; with it, its number counts the repetitions after the first.
        return 1 if loop is None else 0 if loop == 0 else int(loop) + 1
    return int(loop or 0)


def _unify(
    frames: Iterable[Frame], size: Size, format: Format, background: tuple[int, int, int], lost: dict[str, None]
) -> Iterator[Frame]:
    for frame in frames:
        if frame.picture.size != size:
            raise ValueError(f"a frame has {frame.picture.size} pixels, the first one {size}")
        yield Frame(fit_one_of(frame.picture, format, lost, background), frame.duration)


def _write_apng(stream: BinaryIO, frames: Iterator[Frame], plays: int) -> None:
    first = next(frames)
    writer = ApngWriter(stream, first.picture, plays)
    for frame in chain((first,), frames):
        writer.add(frame.picture, frame.duration)
    writer.finish()


def _write_gif(stream: BinaryIO, frames: Iterator[Frame], plays: int) -> None:
    first = next(frames)
    options = metadata_options(first.picture.metadata, Format.GIF)
    if plays != 1:
        options["loop"] = max(0, plays - 1)
    images = _gif_images(chain((first,), frames))
    next(images).save(stream, "GIF", save_all=True, append_images=images, disposal=2, **options)


def _gif_images(frames: Iterator[Frame]) -> Iterator[Image.Image]:
    behind = 0.0
    for frame in frames:
        hundredths = max(0, round((frame.duration + behind) / 10))
        behind += frame.duration - hundredths * 10
        image = palette_image(frame.picture)
        image.info["duration"] = hundredths * 10
        yield image


def _write_photos(
    stream: BinaryIO, frames: Iterator[Frame], plays: int, format: Format, options: dict[str, Any]
) -> None:
    """Write WebP or AVIF."""
    images, ends = [], [0.0]
    metadata = None
    for frame in frames:
        metadata = metadata or frame.picture.metadata
        image = frame.picture.to_pil()
        image.info.clear()
        images.append(image if image.mode in ("RGB", "RGBA") else image.convert("RGBA" if "A" in image.mode else "RGB"))
        ends.append(ends[-1] + frame.duration)
    if metadata is not None:
        options |= metadata_options(metadata, format)
    durations = [round(end) - round(start) for start, end in pairwise(ends)]
    if format is Format.WEBP:
        options["loop"] = plays  # Pillow's AVIF runs for ever
    images[0].save(stream, format.name, save_all=True, append_images=images[1:], duration=durations, **options)
