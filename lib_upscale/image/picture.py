"""The class `Picture`: pixels in 8 or 16 bits, alpha and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_upscale.image import pillow as pil
from lib_upscale.image.geometry import Region, Size
from lib_upscale.image.levels import BAND_ROWS, row_bands, to_bits
from lib_upscale.image.metadata import (
    PARAMETERS,
    Metadata,
    apply_orientation,
    find_orientation,
    parameters_in_exif,
    reset_orientation,
    strip_exif_prefix,
)

__all__ = ["Picture", "Pixels", "opaque_alpha"]

Pixels = NDArray[Any]  # uint8 or uint16; numpy's stubs can't say "one of the two" without a type variable everywhere


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels and what belongs to them. The arrays are not to be written to.

    Attributes:
        pixels: (height, width, channels), uint8 or uint16, with 1 channel (gray) or 3 (red, green, blue).
        alpha: (height, width) of the same type, 0 for transparent, not premultiplied; None where there is no alpha
            channel. An opaque one takes no memory (see `opaque`).
        metadata: ICC profile, EXIF, XMP, texts, resolution.

    Raises:
        ValueError: The arrays are of any other shape or type.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3) or self.pixels.size == 0:
            raise ValueError(f"pixels must be (height, width, 1 or 3), not {self.pixels.shape}")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, not {self.pixels.dtype}")
        if self.alpha is None:
            return
        if self.alpha.shape != self.pixels.shape[:2] or self.alpha.dtype != self.pixels.dtype:
            raise ValueError(f"alpha {self.alpha.shape} {self.alpha.dtype} does not belong to {self.pixels.shape}")
        if self.opaque:
            object.__setattr__(self, "alpha", opaque_alpha(self.size, self.bits))

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.pixels.shape[1], self.pixels.shape[0])

    @property
    def channels(self) -> int:
        """1 for gray, 3 for RGB; alpha is not counted."""
        return int(self.pixels.shape[2])

    @property
    def bits(self) -> int:
        """Bits a channel: 8 or 16."""
        return int(self.pixels.dtype.itemsize) * 8

    @property
    def levels(self) -> int:
        """The value of full brightness: 255 or 65535."""
        return 255 if self.bits == 8 else 65535

    @cached_property
    def opaque(self) -> bool:
        """Whether no pixel is transparent, not even a little: then alpha needs no work."""
        if self.alpha is None or self.alpha.strides == (0, 0):
            return self.alpha is None or bool(self.alpha[0, 0] == self.levels)
        return bool((self.alpha == self.levels).all())

    def bands(self, rows: int = BAND_ROWS) -> Iterator[Pixels]:
        """Bands of at most `rows` rows, (rows, width, channels with alpha last), from the top."""
        for band in row_bands(self.size.height, rows):
            yield self.pixels[band] if self.alpha is None else np.dstack([self.pixels[band], self.alpha[band]])

    def cropped(self, region: Region) -> Picture:
        """A region of it, as a view."""
        alpha = None if self.alpha is None else self.alpha[region.rows, region.columns]
        return Picture(self.pixels[region.rows, region.columns], alpha, self.metadata)

    def with_metadata(self, metadata: Metadata) -> Picture:
        """The same pixels with other metadata."""
        return replace(self, metadata=metadata)

    def with_bits(self, bits: int) -> Picture:
        """The same picture in 8 or 16 bits a channel, rounded."""
        if bits == self.bits:
            return self
        alpha = self.alpha
        if alpha is not None:
            alpha = opaque_alpha(self.size, bits) if self.opaque else to_bits(alpha, bits)
        return Picture(to_bits(self.pixels, bits), alpha, self.metadata)

    @classmethod
    def from_pil(cls, image: Image.Image) -> Picture:
        """A Pillow image of any mode; its EXIF orientation is applied. `image` is not changed."""
        pixels, alpha, icc_holds = pil.extract_pixels(image)
        return cls.oriented(pixels, alpha, pil.extract_metadata(image, icc_holds=icc_holds))

    @classmethod
    def oriented(cls, pixels: Pixels, alpha: Pixels | None, metadata: Metadata, turn: int | None = None) -> Picture:
        """Pixels as they lie in a file, brought upright.

        Parameters that the WebUI wrote into the EXIF of a JPEG are put among the texts.

        Args:
            pixels: (height, width, 1 or 3).
            alpha: (height, width), or None.
            metadata: Of the file; its orientation is reset.
            turn: An EXIF orientation from 1 to 8; None for that in the metadata.
        """
        metadata = strip_exif_prefix(metadata)
        if metadata.exif is not None and PARAMETERS not in metadata.text:
            metadata = metadata.with_text(PARAMETERS, parameters_in_exif(metadata.exif))
        if turn is None:
            turn = find_orientation(metadata)
        if turn != 1:
            pixels = np.ascontiguousarray(apply_orientation(pixels, turn))
            alpha = None if alpha is None else np.ascontiguousarray(apply_orientation(alpha, turn))
        return cls(pixels, alpha, reset_orientation(metadata))

    def to_pil(self) -> Image.Image:
        """A Pillow image, "L", "LA", "RGB" or "RGBA" in 8 bits, with the metadata in its `info`."""
        eight = self.with_bits(8)
        stack = eight.pixels if eight.alpha is None else np.dstack([eight.pixels, eight.alpha])
        image = Image.fromarray(np.ascontiguousarray(stack[..., 0] if stack.shape[2] == 1 else stack))
        metadata = self.metadata
        info = {
            "icc_profile": metadata.icc_for(self.channels),
            "exif": metadata.exif,
            "xmp": metadata.xmp,
            "dpi": metadata.dpi,
        }
        image.info.update(metadata.text)
        image.info.update({key: value for key, value in info.items() if value is not None})
        return image


def opaque_alpha(size: Size, bits: int) -> Pixels:
    """An alpha channel without any transparency: one value, seen (height, width) times, in no memory."""
    top = np.uint8(255) if bits == 8 else np.uint16(65535)
    return np.broadcast_to(np.asarray(top), (size.height, size.width))
