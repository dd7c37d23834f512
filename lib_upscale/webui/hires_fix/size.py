"""Where hires fix is going, to the pixel: the host's own pass works in latent pixels and ends at multiples of 8."""

from __future__ import annotations

from dataclasses import dataclass

from lib_upscale.image.geometry import Region, Size
from lib_upscale.redrawing.tiles import LATENT
from lib_upscale.webui.host.protocols import HostTxt2Img

__all__ = ["HiresSize"]


@dataclass(frozen=True)
class HiresSize:
    """The sizes of one second pass, in pixels.

    The image is enlarged to `enlarged`; where a target of another shape is asked for, what stands out of `final` is
    cut off on both sides (the host calls it truncation).
    """

    enlarged: Size
    final: Size
    truncated: tuple[int, int] = (0, 0)
    """Latent pixels that the host itself cuts off across and down, in both directions together."""
    multiple: int = LATENT
    """Of what sides must be multiples for the base model."""

    @classmethod
    def of(cls, p: HostTxt2Img, multiple: int = LATENT) -> HiresSize:
        """What the host's parameters say, once its `init` has worked them out."""
        enlarged = Size(int(p.hr_upscale_to_x), int(p.hr_upscale_to_y))
        truncated = (int(p.truncate_x), int(p.truncate_y))
        return cls.from_numbers(enlarged, (int(p.hr_resize_x or 0), int(p.hr_resize_y or 0)), truncated, multiple)

    @classmethod
    def from_numbers(
        cls, enlarged: Size, box: tuple[int, int], truncated: tuple[int, int], multiple: int = LATENT
    ) -> HiresSize:
        """The sizes for "resize to".

        Args:
            enlarged: To what the image is enlarged.
            box: "Resize to", width and height in pixels; 0 for automatic.
            truncated: Latent pixels that the host cuts off across and down.
            multiple: Of what sides must be multiples for the base model.
        """
        width, height = enlarged
        if box[0] and box[1]:
            width, height = min(box[0], width), min(box[1], height)
        return cls(enlarged, Size(width, height), truncated, multiple)

    @property
    def filled(self) -> Size:
        """`enlarged`, filled up to what the base model takes."""
        return self.enlarged.rounded_up(self.multiple)

    @property
    def canvas(self) -> Size:
        """What is denoised: `filled`, less what the host cuts off."""
        return Size(*(side - cut * LATENT for side, cut in zip(self.filled, self.truncated, strict=True)))

    @property
    def crop(self) -> Region:
        """The part of the canvas that is the result: the middle of what was enlarged."""
        places = [
            min(max(0, (enlarged - final) // 2 - cut // 2 * LATENT), canvas - final)
            for enlarged, final, cut, canvas in zip(self.enlarged, self.final, self.truncated, self.canvas, strict=True)
        ]
        return Region(*places, *self.final)
