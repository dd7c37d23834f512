"""Generations, of which nothing is emulated but that they have a second pass."""


class StableDiffusionProcessingTxt2Img:
    """Parameters."""

    def sample_hr_pass(self):
        """The pass of hires fix."""
