"""Reads the files that hold a network's weights: everything that touches untrusted bytes."""

from lib_upscale._exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
