"""Finds out what a file is: an upscaler and what it needs, or something else and where that belongs."""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
